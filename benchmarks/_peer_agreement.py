"""Which hyperparameters each method differentiates, and whether finite differences agree.

A cell is a method's gradient by one hyperparameter against central differences of order 4 of the same
method's own training: five steps of the conformance table's small networks, in float64, each
hyperparameter with two windows where the method lets it change during a run. Whether that training is
torch.optim's own has a row, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

import nongreedy as ng
from nongreedy.testing import SEED, STEPS, tiny_task

from ._peer_list import Entry
from ._peer_methods import CannotError, Method, batches, held_out, network

TOLERANCE = 1e-6
_STEP, _FLOOR = 3e-5, 0.03  # of differences, as in the conformance table
_STENCIL = ((1.0, 8 / 12), (-1.0, -8 / 12), (2.0, -1 / 12), (-2.0, 1 / 12))

_RATES: dict[str, list[float]] = {"learning_rate": [0.05, 0.1]}
_MOMENTUM: dict[str, list[float]] = {"momentum": [0.5, 0.3]}
_DECAY: dict[str, list[float]] = {"weight_decay": [0.02, 0.01]}
_EPSILON: dict[str, list[float]] = {"epsilon": [0.03, 0.05]}  # as large as that, so that it matters
_BETAS: dict[str, list[float]] = {"beta1": [0.8, 0.6], "beta2": [0.95, 0.9]}
_SMOOTHING: dict[str, list[float]] = {"smoothing": [0.9, 0.7]}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained, and where it is differentiated.

    Attributes:
        learn: The hyperparameters that have a row; None is all of them.
    """

    optimizer: ng.Optimizer
    values: Mapping[str, list[float]]
    model: str = "mlp"
    learn: tuple[str, ...] | None = None

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of hyperparameters."""
        return self.learn or tuple(self.values)

    def run(self) -> ng.Run:
        """In float64."""
        return ng.Run(tiny_task(self.model), self.optimizer, STEPS, SEED, torch.float64)

    def schedule(self, method: Method) -> ng.Schedule:
        """Windows, or one value for what the method takes one value of."""
        return ng.Schedule.of(
            **{n: v[:1] if method.constant(n) else v for n, v in self.values.items()}
        )

    def with_dead_unit(self) -> Setting:
        """Some weights' gradients are exactly zero at every step; without decay, which would move them."""
        values = {**self.values, "weight_decay": [0.0]}
        return dataclasses.replace(self, values=values, model="dead_relu", learn=("learning_rate",))


_PLAIN = {
    "SGD": Setting(ng.SGD(), {"learning_rate": [0.3, 0.2], **_MOMENTUM, **_DECAY}),
    "Adam": Setting(ng.Adam(), {**_RATES, **_BETAS, **_EPSILON, **_DECAY}),
    "AdamW": Setting(ng.AdamW(), {**_RATES, **_BETAS, **_EPSILON, **_DECAY}),
    "RMSprop": Setting(ng.RMSprop(), {**_RATES, **_SMOOTHING, **_MOMENTUM, **_EPSILON, **_DECAY}),
    "Adagrad": Setting(ng.Adagrad(), {**_RATES, **_EPSILON, **_DECAY}),
}
SETTINGS = _PLAIN | {
    f"{name}, dead ReLU": setting.with_dead_unit() for name, setting in _PLAIN.items()
}


@dataclasses.dataclass(frozen=True)
class Judgment:
    """What a cell says, and why where something is to be explained."""

    text: str
    reason: str | None = None


def differences(method: Method, run: ng.Run, schedule: ng.Schedule, name: str) -> Tensor:
    """Central differences of the method's own final loss, coefficient by coefficient."""
    center = schedule[name]
    found = torch.zeros_like(center)
    for j in range(len(center)):
        width = _STEP * max(abs(center[j].item()), _FLOOR)
        for offset, weight in _STENCIL:
            moved = center.clone()
            moved[j] += offset * width
            shifted = schedule.with_coefficients({name: moved})
            found[j] += weight * method.loss(run, shifted, [name]) / width
    return found


def judge(method: Method, setting: Setting, name: str) -> Judgment:
    """Ask for a gradient, and compare it."""
    run, schedule = setting.run(), setting.schedule(method)
    known = method.cannot(run.optimizer, name)
    try:
        gradient = method.hypergradient(run, schedule, [name])[name]
    except CannotError as refusal:
        return Judgment("no", known or str(refusal))
    except (RuntimeError, TypeError, ValueError) as error:
        return Judgment(f"**{type(error).__name__}**", known or str(error))
    if gradient is None:
        return Judgment("**no gradient**", known)
    if not gradient.isfinite().all():
        return Judgment("**NaN**" if gradient.isnan().any() else "**infinite**")
    slopes = differences(method, run, schedule, name)
    error = ((gradient - slopes).abs().max() / slopes.abs().max()).item()
    if error > TOLERANCE:
        return Judgment(f"**off by {error:.0e}**", known)
    once = "; one value per run" if method.constant(name) else ""
    return Judgment(f"{error:.0e}{once}")


def torch_loss(run: ng.Run, schedule: ng.Schedule) -> float:
    """The final validation loss by ``torch.optim``."""
    net = network(run)
    optimizer = run.optimizer.torch_optimizer(net.parameters())
    scheduler = schedule.attach(optimizer, run.steps)
    for inputs, targets in batches(run):
        optimizer.zero_grad()
        run.task.loss(net(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    inputs, targets = held_out(run)
    with torch.no_grad():
        return run.task.validation_loss(net.eval()(inputs), targets).item()


def judge_run(method: Method, setting: Setting) -> Judgment:
    """Whether the method trains as ``torch.optim`` does."""
    run, schedule = setting.run(), setting.schedule(method)
    try:
        found = method.loss(run, schedule)
    except CannotError as refusal:
        return Judgment("no", str(refusal))
    expected = torch_loss(run, schedule)
    error = abs(found - expected) / expected
    if error <= TOLERANCE:
        return Judgment("same")
    return Judgment(f"**other, by {error:.0e}**", method.differs(run.optimizer))


def agreement_table(entries: Mapping[str, Entry]) -> Iterator[str]:
    """Markdown, line by line as it is found: the table, then the numbered reasons."""
    reasons: dict[str, int] = {}
    yield _row(["optimizer", "hyperparameter", *(entry.title for entry in entries.values())])
    yield "|---" * (2 + len(entries)) + "|"
    for title, setting in SETTINGS.items():
        found = [judge_run(entry.method, setting) for entry in entries.values()]
        yield _row([title, "(final loss)", *(_shown(judgment, reasons) for judgment in found)])
        for name in setting.rows:
            found = [judge(entry.method, setting, name) for entry in entries.values()]
            yield _row([title, name, *(_shown(judgment, reasons) for judgment in found)])
    yield ""
    yield from (f"{number}. {reason}" for reason, number in reasons.items())


def _shown(judgment: Judgment, reasons: dict[str, int]) -> str:
    if judgment.reason is None:
        return judgment.text
    return f"{judgment.text} ({reasons.setdefault(judgment.reason, len(reasons) + 1)})"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
