"""A learned schedule in Lightning's Trainer."""

import contextlib
import math
import os
import warnings
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from .._extras import optional
from ..schedules import Schedule, ScheduleLR
from ._schedule import schedule_from

# A Trainer of either package takes callbacks of the other: they have the same hooks.
_TRAINED = "trained_state_dict"  # in a checkpoint whose "state_dict" has averaged weights

_Callback: Any = optional(
    "nongreedy.integrations.lightning", "lightning.pytorch", "pytorch_lightning"
).Callback


class ScheduleCallback(_Callback):
    """Sets a schedule's values in the optimizer of a ``LightningModule``, step by step.

    Optimizer step t (0-based; one per ``accumulate_grad_batches`` batches) is taken with the values of
    :meth:`Schedule.values` at t for ``trainer.estimated_stepping_batches`` steps: learning rate,
    momentum, betas, weight decay, whatever the schedule holds, in every parameter group as
    :meth:`Schedule.attach` says: groups that another callback adds later (``BackboneFinetuning``) keep
    the ratio of the rate that they came with. What other callbacks set is replaced before each step,
    with one warning. The count of steps is saved in Lightning's checkpoints, so that
    ``fit(ckpt_path=...)`` goes on where the run was saved; steps that mixed precision skips do not
    count.

    A schedule with an average of weights (``average_share``, ``average_decay``), and any schedule of a
    schedule-free optimizer: the averaged weights are in the module while it is validated, in the
    ``state_dict`` of checkpoints, and after the last step. What training goes on with is beside it, and
    put back where a run is resumed.

    Works with the packages ``lightning`` and ``pytorch_lightning``.

    Args:
        schedule: A schedule or the path of its file.
        total_steps: Length of the whole run in steps of that optimizer; None is what the trainer says.
        optimizer_index: Which of several optimizers, in the order of ``configure_optimizers``.
        groups, strict: As in :meth:`Schedule.attach`.

    Raises:
        ValueError: When training begins: several optimizers and none named, no end in sight and no
            `total_steps`, a learning rate scheduler of the module's own, or an optimizer that lacks a
            hyperparameter or is of another kind than the schedule's.

    Cannot: put averages into checkpoints that are saved with ``save_weights_only=True``, which callbacks
    do not see; follow optimizers that DeepSpeed steps itself; count the past steps of one optimizer among
    several when it first joins at a resumption.

    Example:
        >>> trainer = lightning.Trainer(  # doctest: +SKIP
        ...     max_epochs=10, callbacks=[ScheduleCallback("schedule.json")])
        >>> trainer.fit(module, data)  # doctest: +SKIP
    """

    def __init__(
        self,
        schedule: Schedule | str | os.PathLike[str],
        *,
        total_steps: int | None = None,
        optimizer_index: int | None = None,
        groups: str = "scale",
        strict: bool = True,
    ):
        self.schedule, self.groups, self.strict = schedule_from(schedule), groups, strict
        self.total_steps, self.optimizer_index = total_steps, optimizer_index
        self._saved: dict[str, Any] = {}
        self._scheduler: ScheduleLR | None = None
        self._shown = contextlib.ExitStack()  # the averages, while the module is validated
        self._hooks: list[Any] = []

    @property
    def state_key(self) -> str:
        """Callbacks of different optimizers have different states in a checkpoint."""
        return self._generate_state_key(optimizer_index=self.optimizer_index)

    def state_dict(self) -> dict[str, Any]:
        """Steps taken and steps in all, and the averages where there are some."""
        scheduler = self._scheduler
        if scheduler is None:
            return self._saved
        counted = {"step": scheduler.last_epoch, "total_steps": scheduler.total_steps}
        return (
            {**counted, "averages": scheduler.averages_state()} if scheduler.averages else counted
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning does this before training begins."""
        self._saved = dict(state_dict)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage == "fit":  # what an earlier fit has left does not concern this one
            self._detach()
            self._saved, self._scheduler = {}, None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        # Only now has Lightning restored the optimizer, whose groups come with values of their own.
        optimizer = self._chosen(trainer)
        _refuse_other_scheduler(trainer, optimizer)
        total = self._total(trainer, pl_module)
        alone = len(trainer.optimizers) == 1
        step = self._saved.get("step", trainer.global_step if alone else 0)
        scheduler = self.schedule.attach(
            optimizer, total_steps=total, groups=self.groups, strict=self.strict
        )
        scheduler.move_to(step, self._saved.get("averages"))
        self._scheduler = scheduler
        self._hooks = [
            # Other callbacks may have added groups, or set rates, since the last step.
            optimizer.register_step_pre_hook(lambda *given: scheduler.hold()),
            optimizer.register_step_post_hook(lambda *given: scheduler.step()),
        ]

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        if self._hooks and self._scheduler is not None:  # in a fit, after its sanity check
            self._shown.enter_context(self._scheduler.averaged())

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self._shown.close()

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        if self._scheduler is None or not self._scheduler.averages:
            return
        trained = checkpoint.get(_TRAINED, checkpoint["state_dict"])
        with self._scheduler.averaged():
            rows = pl_module.state_dict().items()
            now = {name: value.clone() for name, value in rows if isinstance(value, Tensor)}
        checkpoint[_TRAINED] = trained
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **now}

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        # Lightning has loaded its "state_dict" by now; only a fit that is resumed goes on from the other.
        if _TRAINED in checkpoint and trainer.state.fn == "fit":
            pl_module.load_state_dict(checkpoint[_TRAINED])

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._detach()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._detach()

    def _detach(self) -> None:
        self._shown.close()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def _chosen(self, trainer: Any) -> Optimizer:
        optimizers, index = trainer.optimizers, self.optimizer_index
        names = [type(optimizer).__name__ for optimizer in optimizers]
        if not optimizers:
            raise ValueError("The module has no optimizer: return one from configure_optimizers.")
        if index is None and len(optimizers) > 1:
            raise ValueError(
                f"The module has {len(optimizers)} optimizers, {names}. Say which one the schedule is "
                "for: ScheduleCallback(..., optimizer_index=0)."
            )
        if index is not None and not 0 <= index < len(optimizers):
            raise ValueError(
                f"optimizer_index={index} is none of the module's optimizers, {names}. Give a number "
                f"from 0 to {len(optimizers) - 1}."
            )
        return optimizers[index or 0]

    def _total(self, trainer: Any, pl_module: Any) -> int:
        total = self.total_steps
        if total is None and not pl_module.automatic_optimization:
            raise ValueError(
                "The module steps its optimizers by hand (automatic_optimization=False), so that "
                "Lightning cannot say how many steps there will be. Pass "
                "ScheduleCallback(..., total_steps=...)."
            )
        if total is None:
            total = trainer.estimated_stepping_batches
        if math.isinf(total):
            raise ValueError(
                f"The trainer says that training has {total} steps, but a schedule is stretched over "
                "a whole run. Set max_steps or max_epochs of the Trainer, or pass "
                "ScheduleCallback(..., total_steps=...)."
            )
        before = self._saved.get("total_steps", total)
        if total != before:
            warnings.warn(
                f"The run that is resumed was to have {before} steps and now has {total}. The "
                f"schedule is stretched to {total}, so that its values jump at this point.",
                stacklevel=2,
            )
        return int(total)


def _refuse_other_scheduler(trainer: Any, optimizer: Optimizer) -> None:
    for config in trainer.lr_scheduler_configs:
        if config.scheduler.optimizer is optimizer:
            raise ValueError(
                f"The module's configure_optimizers also returns a {type(config.scheduler).__name__}, "
                "which would overwrite the schedule's learning rate. Return the optimizer alone, or "
                "leave out ScheduleCallback."
            )
