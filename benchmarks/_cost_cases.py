"""What the cost tables measure on: networks, tasks, schedules, and the plain run that is the unit."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

import nongreedy as ng
from nongreedy.schedules import Curve, Windows

RATE, _MOMENTUM, _DECAY = 0.01, 0.9, 5e-4


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, its input shape (of texts, their length) and how many steps a timed run has."""

    model: str
    shape: tuple[int, ...]
    steps: int
    batch_size: int = 128
    examples: int = 512


CASES = {
    "mlp": Case("mlp", (1, 28, 28), 300),
    "lenet": Case("lenet", (3, 32, 32), 60),
    "convnet": Case("convnet", (3, 32, 32), 20),
    "wrn-16-1": Case("wrn-16-1", (3, 32, 32), 6),
    "transformer": Case("transformer", (64,), 12, 16, 256),
}
_CHARACTERS = 65


@dataclasses.dataclass(frozen=True)
class Problem:
    """A run, the schedule that it is differentiated at, and by what."""

    run: ng.Run
    schedule: ng.Schedule
    learn: list[str]

    def hypergradient(self, engine: ng.Engine) -> ng.Hypergradient:
        """One whole hypergradient: train, and differentiate."""
        return engine.hypergradient(self.run, self.schedule, self.learn)


def of_optimizer(case: Case, count: int) -> Problem:
    """Differentiated by one learning rate; or by its windows, momentum and weight decay."""
    schedule = schedule_with(count)
    learn = ["learning_rate"] if count == 1 else list(schedule.curves)
    return Problem(ng.Run(make_task(case), ng.SGD(), case.steps), schedule, learn)


def of_loss(case: Case, count: int) -> Problem:
    """Differentiated by weights of `count` groups of training examples, equally large."""
    ones = torch.ones(count, dtype=torch.float64)
    weights = ng.Variable(initial=ones)
    # No weight decay, which `Implicit` would refuse.
    settings = {"learning_rate": RATE, "momentum": _MOMENTUM, "weight_decay": 0.0}
    curves = {n: Curve(Windows(1), torch.tensor([v]).double()) for n, v in settings.items()}
    task = make_task(case, weights)
    schedule = ng.Schedule({**curves, "weights": Curve(weights, ones, "task")})
    return Problem(ng.Run(task, ng.SGD(), case.steps), schedule, ["weights"])


def make_task(case: Case, weights: ng.Variable | None = None) -> ng.Task:
    """Random images or texts: the cost does not depend on what they show."""
    x, y = _data(case.examples, case.shape)
    # A validation set of one batch, so that the figure is that of the steps.
    held_out = (x[: case.batch_size], y[: case.batch_size])
    return ng.Task(
        _model(case),
        functional.cross_entropy if weights is None else weighted,
        (x, y),
        held_out,
        batch_size=case.batch_size,
        hyperparameters={} if weights is None else {"weights": weights},
        validation_loss=functional.cross_entropy,
    )


def _model(case: Case) -> Callable[[], torch.nn.Module]:
    if case.model == "transformer":
        return functools.partial(ng.models.CharTransformer, _CHARACTERS, *case.shape)
    channels, height, width = case.shape
    return ng.models.build(case.model, (channels, height, width), 10)


@functools.cache
def _data(count: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    if len(shape) == 1:
        rows = torch.randint(_CHARACTERS, (count, shape[0] + 1), generator=generator)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()
    x = torch.randn(count, *shape, generator=generator)
    return x, torch.randint(10, (count,), generator=generator)


def weighted(output: Tensor, target: Tensor, hypers: ng.Hypers) -> Tensor:
    """Example i has the weight of group i modulo their number."""
    losses, weights = functional.cross_entropy(output, target, reduction="none"), hypers["weights"]
    return (losses * weights[hypers.index % len(weights)]).mean()


def schedule_with(count: int, rate: float = RATE) -> ng.Schedule:
    """`count` hyperparameters: all but two of them windows of the learning rate, at least one."""
    values = {
        "learning_rate": (max(count - 2, 1), rate),
        "momentum": (1, _MOMENTUM),
        "weight_decay": (1, _DECAY),
    }
    return ng.Schedule(
        {n: Curve(Windows(k), torch.full((k,), v).double()) for n, (k, v) in values.items()}
    )


def plain(task: ng.Task, steps: int) -> None:
    """An ordinary training loop."""
    model = task.model().train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=_MOMENTUM, weight_decay=_DECAY
    )
    for step in range(steps):
        inputs, targets = task.plan.batch(0, step, task.device, torch.float32)
        optimizer.zero_grad()
        task.loss(model(inputs), targets).backward()
        optimizer.step()
