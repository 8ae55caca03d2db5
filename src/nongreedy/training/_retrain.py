"""Plain PyTorch training under a schedule: how a schedule is judged, and how a user will use it."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from ..engines._run import at
from ..optimizers import SGD, Optimizer
from ..schedules import Schedule
from ..task import Examples, Hypers, Task
from ..task._data_plan import DROPOUT, INITIAL, REESTIMATE, mix, to_device
from ..task._default_generator import seed_default
from ..task._module import constant, frozen_parts
from ..task._repeatable import repeatable
from ..task._task import accuracy_count

Named = list[tuple[str, nn.Parameter]]
_EVALUATION_BATCH = 1000
_REESTIMATE_BATCHES = 50


@dataclass(frozen=True)
class Retrained:
    """A network trained from scratch under a schedule, judged and returned in evaluation mode.

    A quantity is None where there is no test data or no classes; a diverged run has the loss
    infinity and the accuracy of guessing the class it guesses.
    """

    model: nn.Module
    validation_loss: float
    validation_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None


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

    BatchNorm's running statistics are estimated anew on training batches before judging.

    Args:
        task: What to train; its test data are used here and only here.
        schedule: Stretched to the length of this run.
        epochs: Length of the run, or
        steps: its length in steps.
        seed: Decides initialization, order, augmentation and dropout.
        optimizer: Which ``torch.optim`` twin and clipping to use; default ``SGD()``.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(32, 4); y = (x[:, 0] > 0).long()
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy,
        ...                (x, y), (x, y), batch_size=8)
        >>> ng.retrain(task, ng.cosine_schedule(0.5), epochs=5).validation_accuracy > 0.5
        True
    """
    total, rule = task.steps_for(epochs, steps), optimizer or SGD()

    def begin(named: Named) -> Begun:
        torch_optimizer = rule.torch_optimizer(rule.torch_groups(named))
        scheduler = schedule.attach(torch_optimizer, total, rule.torch_settings)
        return Begun(torch_optimizer, scheduler.step)

    return retrain_with(begin, task, schedule, steps=total, seed=seed, clip=rule.clip_torch)


@dataclass(frozen=True)
class Begun:
    """An optimizer at the start of a plain training, and what to call as it goes."""

    optimizer: torch.optim.Optimizer
    after_step: Callable[[], object] = lambda: None
    at_end: Callable[[], object] = lambda: None


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
    with repeatable(task.device):
        model = task.network(seed)
        frozen = frozen_parts(model)
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        values = _own_values(task, schedule, steps)
        _initialize(model, task, at(values, 0), seed)
        begun = begin(named)
        for step in range(steps):
            batch = task.plan.batch(seed, step, task.device, torch.float32)
            seed_default(mix(seed, DROPOUT, step), task.device)
            begun.optimizer.zero_grad()
            hypers = Hypers(
                at(values, step), step, lambda: dict(model.named_parameters()),
                lambda step=step: task.plan.index(seed, step).to(task.device),
            )  # fmt: skip
            task.training_loss(lambda x: call(model, x), batch, hypers).backward()
            clip([p for _, p in named])
            begun.optimizer.step()
            begun.after_step()
        begun.at_end()
        _reestimate(model, task, seed, frozen)
        with constant(model):
            validation = _judge(model, task, task.validation)
            test = (None, None) if task.test is None else _judge(model, task, task.test)
    return Retrained(model, *validation, *test)


def _own_values(task: Task, schedule: Schedule, total: int) -> dict[str, Tensor]:
    """The task's hyperparameters at each step: the schedule's, and where it has none the initial."""
    curves = {**Schedule.initial(task.hyperparameters(total)).curves, **schedule.curves}
    own = Schedule({name: curves[name] for name in task.learnable})
    return own.tensors(total, task.device, torch.float32)


@torch.no_grad()
def _initialize(model: nn.Module, task: Task, values: Mapping[str, Tensor], seed: int) -> None:
    drawn = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    seed_default(mix(seed, INITIAL, 1), task.device)
    made = task.initialized(drawn, Hypers(values, 0, lambda: drawn))
    for name, parameter in model.named_parameters():
        if name in made:
            parameter.copy_(made[name])


def call(model: nn.Module, inputs: Any) -> Any:
    """Call with a tensor, a tuple of positional arguments or a mapping of keyword arguments."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


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


def _judge(model: nn.Module, task: Task, examples: Examples) -> tuple[float, float | None]:
    model.eval()
    total, right = 0.0, 0.0
    for low in range(0, examples.count, _EVALUATION_BATCH):
        part = slice(low, min(low + _EVALUATION_BATCH, examples.count))
        inputs, targets = to_device(examples.fetch(part), task.device, torch.float32)
        output = call(model, inputs)
        total += task.validation_loss(output, targets).item() * (part.stop - low)
        counted = accuracy_count(output, targets)
        right = None if right is None or counted is None else right + counted
    loss, accuracy = total / examples.count, None if right is None else right / examples.count
    return (math.inf if math.isnan(loss) else loss), accuracy
