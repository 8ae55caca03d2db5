"""Plain PyTorch training under a schedule: how a schedule is judged, and how a user will use it."""

import math
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..optimizers import SGD, Optimizer
from ..optimizers._mistakes import checked_optimizer
from ..schedules import Schedule
from ..schedules._average import is_average
from ..schedules._given import checked_schedule
from ..schedules._origin import innermost
from ..schedules._scheduler import ScheduleLR
from ..task import Examples, Task
from ..task._choices import refuse_others
from ..task._data_plan import REESTIMATE, mix
from ..task._finite import first_not_finite
from ..task._judgement import Judged
from ..task._looks import Look
from ..task._module import call, constant, frozen_parts
from ..task._plain import Begun, Named, PlainTraining
from ..task._repeatable import repeatable
from ..task._task import checked_task

_REESTIMATE_BATCHES = 50


@dataclass(frozen=True)
class Retrained:
    """A network trained from scratch under a schedule, judged and returned in evaluation mode.

    A quantity is None where there is no test data or no right answer; a diverged run has the loss
    infinity, the accuracy of guessing the class it guesses, and no other metric (NaN). Losses are those
    of the whole data, as in a run of the same network; only BatchNorm has other statistics here, those
    of the training data.
    """

    model: nn.Module
    validation_loss: float
    validation_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    validation_metrics: Mapping[str, float] = field(default_factory=dict)
    test_metrics: Mapping[str, float] = field(default_factory=dict)


def retrain(
    task: Task,
    schedule: Schedule,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    optimizer: Optimizer | None = None,
) -> Retrained:
    """Train with ``torch.optim`` and :meth:`Schedule.attach`, then judge on validation and test.

    What is judged and returned are the averaged weights, where the schedule or the optimizer has an
    average. BatchNorm's running statistics are estimated anew on training batches before judging.

    Args:
        task: What to train; its test data are used here and only here.
        schedule: Stretched to the length of this run. What it does not set is as the optimizer has it.
        epochs: Length of the run, or
        steps: its length in steps.
        seed: Decides initialization, order, augmentation and dropout.
        optimizer: Which ``torch.optim`` twin, clipping and settings to use; default ``SGD()``.

    Raises:
        ValueError: A schedule of hyperparameters that the task does not have; or, without `optimizer`, one
            that was learned with another than SGD, or with clipping.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(32, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                (x, y), (x, y), batch_size=8)
        >>> ng.retrain(task, ng.cosine_schedule(0.5), epochs=5).validation_accuracy > 0.5
        True
    """
    total = checked_task(task).steps_for(epochs, steps)
    _refuse_foreign(task, checked_schedule("schedule", schedule))
    rule = checked_optimizer(_usual(schedule) if optimizer is None else optimizer, Optimizer)
    refuse_others(task.choices, schedule)
    schedule = _completed(schedule, rule, total)

    def begin(named: Named) -> Begun:
        torch_optimizer = rule.torch_optimizer(rule.torch_groups(named))
        # In runs all groups have one learning rate, whatever rates their twin begins with.
        scheduler = ScheduleLR(
            torch_optimizer,
            schedule,
            total,
            settings=rule.torch_settings,
            groups="same",
            judged=True,
        )
        return Begun(torch_optimizer, scheduler.step)

    return retrain_with(begin, task, schedule, steps=total, seed=seed, clip=rule.clip_torch)


def _usual(schedule: Schedule) -> Optimizer:
    """SGD, unless the schedule is known to be of another update."""
    made, usual = innermost(schedule.settings.get("optimizer")), SGD()
    for name, value in usual.to_json().items() if isinstance(made, Mapping) else ():
        if name not in usual.learnable and made.get(name, value) != value:
            raise ValueError(
                f"The schedule was learned with an optimizer of {name}={made[name]!r} (its settings say so), "
                "but without `optimizer` it would be trained with SGD(). Pass optimizer=, such as "
                "ng.retrain(task, result.schedule, optimizer=result.optimizer, ...)."
            )
    return usual


def _refuse_foreign(task: Task, schedule: Schedule) -> None:
    """Without them the run would be another one than that which they were learned for."""
    curves = schedule.curves.items()
    lost = [n for n, curve in curves if curve.owner != "optimizer" and n not in task.learnable]
    if lost:
        raise ValueError(
            f"The schedule sets {', '.join(lost)}, which this task does not have. Give the task that it "
            "was learned for, such as ng.retrain(result.task, result.schedule, ...); or a schedule "
            "without them."
        )


def _completed(schedule: Schedule, rule: Optimizer, steps: int) -> Schedule:
    """With the optimizer's own settings, and its average, where the schedule says nothing of them."""
    given = schedule.curves
    said = set(given)
    if any(map(is_average, given)):
        said |= set(filter(is_average, rule.learnable))
    if "momentum" in given and "momentum" not in rule.learnable:  # which then is that of the betas
        said.add("beta1")
    rows = Schedule.initial(rule.hyperparameters(steps)).curves.items()
    missing = {name: curve for name, curve in rows if name not in said}
    return Schedule({**missing, **given}, schedule.settings)


def retrain_with(
    begin: Callable[[Named], Begun],
    task: Task,
    schedule: Schedule,
    *,
    steps: int,
    seed: int,
    clip: Callable[[list[nn.Parameter]], None],
) -> Retrained:
    """:func:`retrain` by any optimizer: `begin` makes it from the named parameters, `clip` clips
    their gradients, and the schedule gives the task's own hyperparameters."""
    task = task.at_precision(torch.float32)
    with repeatable(task.device):
        model = task.network(seed)
        frozen = frozen_parts(model)
        values = _own_values(task, schedule, steps)
        plain = PlainTraining(task, model, values, seed, torch.float32, clip)
        plain.initialize()
        for _ in plain.steps(begin(plain.named), steps):
            pass
        _reestimate(model, task, seed, frozen)
        with constant(model):
            found = _judge(model, task, task.validation)
            test = None if task.test is None else _judge(model, task, task.test)
    for examples, judged in ((task.validation, found), (task.test, test)):
        if examples is None or judged is None or math.isfinite(judged.loss):
            continue
        if (words := first_not_finite(examples)) is not None:
            warnings.warn(words, stacklevel=3)  # no error: the network is trained, and returned
    if test is None:
        return Retrained(model, _loss(found), found.accuracy, None, None, found.metrics)
    return Retrained(
        model, _loss(found), found.accuracy, _loss(test), test.accuracy, found.metrics, test.metrics
    )


def _own_values(task: Task, schedule: Schedule, total: int) -> dict[str, Tensor]:
    """The task's hyperparameters at each step: the schedule's, and where it has none the initial."""
    curves = {**Schedule.initial(task.hyperparameters(total)).curves, **schedule.curves}
    own = Schedule({name: curves[name] for name in task.learnable})
    return own.tensors(total, task.device, torch.float32)


@torch.no_grad()
def _reestimate(model: nn.Module, task: Task, seed: int, frozen: Collection[nn.Module]) -> None:
    """Running statistics as the plain average over one pass (at most 50 batches) of training data.

    Those of frozen parts are kept.
    """
    parts = [part for part in model.modules() if part not in frozen]
    norms = [m for m in parts if isinstance(m, _NormBase) and m.track_running_stats]
    if not norms:
        return
    modes = {m: m.training for m in model.modules()}
    momenta = [norm.momentum for norm in norms]
    model.eval()  # dropout off: the statistics of the network that will be used
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    for step in range(min(task.steps_per_epoch, _REESTIMATE_BATCHES)):
        inputs, _ = task.plan.batch(mix(seed, REESTIMATE), step, task.device, torch.float32)
        call(model, inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


def _judge(model: nn.Module, task: Task, examples: Examples) -> Judged:
    model.eval()
    size = task.evaluation_batch_size
    look = Look(
        examples, lambda body: body(lambda x: call(model, x)), size, task.device, torch.float32
    )
    return task.outer_loss(look)


def _loss(judged: Judged) -> float:
    return math.inf if math.isnan(judged.loss) else judged.loss
