"""What people set by hand, and which problems a way of searching can take."""

from dataclasses import replace
from typing import Any

from ..engines import Problem
from ..optimizers import SGD, AdamW, Optimizer
from ..schedules import Basis, Curve, Schedule, TimeBasis
from ..search.rules._practice import PRACTICE as USUAL

_BESIDE = ("momentum", "weight_decay")  # the peak of the learning rate, as people set it
PRACTICE: dict[type, dict[str, float]] = {
    kind: {name: value for name, value in USUAL[kind].others.items() if name in _BESIDE}
    for kind in (SGD, AdamW)
}


def by_hand(problem: Problem, learning_rate: Curve) -> Schedule:
    """A learning rate, the rest as people set it (:data:`PRACTICE`), else as it starts here."""
    curves = dict(problem.initial.curves)
    for name, value in PRACTICE.get(type(problem.optimizer), {}).items():
        curves[name] = Schedule.of(**{name: value}).curves[name]
    return Schedule({**curves, "learning_rate": learning_rate})


def starting(optimizer: Optimizer, **fields: Any) -> Optimizer:
    """The optimizer with other fields for all of its bases: ``initial={name: value}``."""
    changed = {
        name: replace(basis, **{field: value[name] for field, value in fields.items()})
        for name, basis in optimizer.given().items()
        if isinstance(basis, Basis)
    }
    return replace(optimizer, **changed)


def grouped(problem: Problem) -> str | None:
    """Why what knows one learning rate cannot take part, or None."""
    names = problem.optimizer.learnable
    if "learning_rate" not in names:
        return f"{type(problem.optimizer).__name__} has no learning rate"
    if any("[" in name for name in names):
        return "it knows one setting for all parameters, not one per group"
    return None


def over_time(problem: Problem) -> str | None:
    """Why what moves numbers cannot take part, or None."""
    names = [n for n, h in problem.learned.items() if not isinstance(h.basis, TimeBasis)]
    return f"it moves numbers, but {names[0]} is a tensor" if names else None
