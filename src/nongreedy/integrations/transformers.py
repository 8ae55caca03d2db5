"""A learned schedule in Hugging Face's Trainer."""

import contextlib
import os
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .._extras import optional
from ..schedules import Schedule, ScheduleLR
from ..schedules._rates import initial_weight_decays
from ._schedule import schedule_from

_Callback: Any = optional(__name__, "transformers").TrainerCallback

_AVERAGES = "nongreedy_averages"  # kept in Trainer's own scheduler, whose state Trainer saves
_PLAIN = ("linear", "constant")  # what TrainingArguments say where nobody asked for more


class ScheduleCallback(_Callback):
    """Sets a schedule's values in the optimizer of a ``transformers.Trainer``, step by step.

    Optimizer step t (0-based; one per ``gradient_accumulation_steps`` batches) is taken with the values
    of :meth:`Schedule.values` at t for ``state.max_steps`` steps: learning rate, weight decay, betas,
    momentum, epsilon, whatever the schedule holds. The step is Trainer's own count, so that
    ``resume_from_checkpoint`` goes on where the run was saved. Trainer's own scheduler goes on, too, but
    what it sets is replaced, and the learning rate in Trainer's logs is the schedule's. What other
    callbacks set is replaced, too, with one warning.

    **Weight decay.** Trainer makes two parameter groups, and biases and norms are in the one whose
    weight decay is 0: it stays 0, as in :meth:`Schedule.attach`. With
    ``TrainingArguments(weight_decay=0.0)``, Trainer's default, both are 0 and cannot be told apart,
    which is refused where the schedule has weight decay.

    **Averages of weights** (``average_share``, ``average_decay``), and any schedule of a schedule-free
    optimizer: the averaged weights are in the model while it is evaluated and after the last step.
    Checkpoints on the way have those that training goes on with, and the averages beside them.

    Args:
        schedule: A schedule or the path of its file.
        groups, strict: As in :meth:`Schedule.attach`.

    Raises:
        ValueError: When training begins: the optimizer lacks a hyperparameter or is of another kind
            than the schedule's, warm-up or another
            scheduler is asked for as well, zero weight decay, as above, or ``load_best_model_at_end`` with
            an average, which the checkpoints of models lack.

    Cannot: see through optimizers that DeepSpeed made; keep a resumed run on its old values if its
    number of steps is changed, because a schedule is stretched to the number that holds now.

    Example:
        >>> trainer = transformers.Trainer(  # doctest: +SKIP
        ...     model, TrainingArguments("out", weight_decay=0.01), train_dataset=data,
        ...     callbacks=[ScheduleCallback("schedule.json")])
    """

    def __init__(
        self,
        schedule: Schedule | str | os.PathLike[str],
        *,
        groups: str = "scale",
        strict: bool = True,
    ):
        self.schedule, self.groups, self.strict = schedule_from(schedule), groups, strict
        self._scheduler: ScheduleLR | None = None
        self._shown, self._hook = contextlib.ExitStack(), contextlib.ExitStack()

    def on_train_begin(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        # Accelerate wraps both.
        optimizer = getattr(parts["optimizer"], "optimizer", parts["optimizer"])
        lr_scheduler = parts["lr_scheduler"]
        _refuse_other_scheduler(args, state.max_steps, lr_scheduler)
        _refuse_unknown_groups(self.schedule, optimizer)
        self._scheduler = self.schedule.attach(
            optimizer, total_steps=state.max_steps, groups=self.groups, strict=self.strict
        )
        if self._scheduler.averages:
            _refuse_best_model(args)
            self._hook.close()
            model = parts["model"]
            self._hook.callback(model.register_forward_pre_hook(self._show).remove)
        self._move_to(
            state.global_step, lr_scheduler, getattr(_unwrapped(lr_scheduler), _AVERAGES, None)
        )

    def _show(self, model: Any, given: Any) -> None:
        """The averages in the model where it is evaluated, and only there."""
        assert self._scheduler is not None
        if model.training:
            self._shown.close()
        else:
            self._shown.enter_context(self._scheduler.averaged())

    def on_evaluate(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        self._shown.close()  # what is saved is what training goes on with
        # Only now Trainer decides whether to save the best model.
        self._keep_averages(parts["lr_scheduler"])

    def on_epoch_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        if control.should_save:
            self._keep_averages(parts["lr_scheduler"])

    def on_train_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        self._shown.close()
        self._hook.close()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        # Other callbacks may have added groups, or set rates, since the last step.
        assert self._scheduler is not None
        self._scheduler.hold()

    def on_step_end(self, args: Any, state: Any, control: Any, **parts: Any) -> None:
        # Trainer calls this after its own scheduler, and before it logs, saves and evaluates.
        assert self._scheduler is not None
        if state.global_step > self._scheduler.last_epoch:
            self._scheduler.take_in()
        self._move_to(state.global_step, parts["lr_scheduler"])
        vars(_unwrapped(parts["lr_scheduler"])).pop(_AVERAGES, None)  # of an earlier step
        if control.should_save:
            self._keep_averages(parts["lr_scheduler"])

    def _keep_averages(self, lr_scheduler: Any) -> None:
        # An evaluation may come before training begins.
        if self._scheduler is not None and self._scheduler.averages:
            setattr(_unwrapped(lr_scheduler), _AVERAGES, self._scheduler.averages_state())

    def _move_to(
        self, step: int, lr_scheduler: Any, averages: dict[str, Any] | None = None
    ) -> None:
        assert self._scheduler is not None
        self._scheduler.move_to(step, averages)
        # Trainer logs what its own scheduler says; `get_last_lr` returns this attribute.
        _unwrapped(lr_scheduler)._last_lr = self._scheduler.get_last_lr()


def _unwrapped(lr_scheduler: Any) -> Any:
    return getattr(lr_scheduler, "scheduler", lr_scheduler)


def _refuse_other_scheduler(args: Any, steps: int, lr_scheduler: Any) -> None:
    kind = getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)
    warmup, made = args.get_warmup_steps(steps), type(_unwrapped(lr_scheduler))
    if kind not in _PLAIN or warmup:
        asked = f"lr_scheduler_type={kind!r} with {warmup} warm-up steps"
    elif not issubclass(made, LambdaLR):
        asked = f"a {made.__name__}"
    else:
        return
    raise ValueError(
        f"Trainer was given {asked}, but ScheduleCallback sets the learning rate from its schedule. "
        "Leave lr_scheduler_type, warm-up and the scheduler in `optimizers=` at their defaults, or "
        "leave out ScheduleCallback."
    )


def _refuse_best_model(args: Any) -> None:
    if args.load_best_model_at_end:
        raise ValueError(
            "TrainingArguments(load_best_model_at_end=True) would load weights that training went on with, "
            "while those that were evaluated are averages of them, which are in no checkpoint's model. "
            "Leave it out: after the last step the averaged weights are in the model."
        )


def _refuse_unknown_groups(schedule: Schedule, optimizer: Optimizer) -> None:
    decay = schedule.curves.get("weight_decay")
    unnamed = [group for group in optimizer.param_groups if "group" not in group]
    if decay is None or not decay.coefficients.any() or len(unnamed) < 2:
        return
    if not any(initial_weight_decays(optimizer)):
        raise ValueError(
            f"The schedule has weight decay, up to {decay.coefficients.max().item():g}, but that of "
            f"all {len(unnamed)} parameter groups is 0.0, so that nothing says which of them shall "
            "decay (biases and norms usually do not). Use TrainingArguments(weight_decay=0.01) or "
            "any other positive number: it marks the groups, and the schedule replaces it."
        )
