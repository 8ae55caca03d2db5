"""What people set by hand before they tune anything: where searches start, and what they must beat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from ...engines import Problem
from ...optimizers import SGD, Adam, AdamW, Grouped, Lion, Muon, NAdam, Optimizer, RMSprop, Scaled
from ...schedules import Basis, Hyperparameter, Linear, Schedule, TimeBasis

_FLOOR = 0.02  # of the peak, where a schedule falls to nothing and its coordinate cannot
_RATE = "learning_rate"


@final
@dataclass(frozen=True)
class Practice:
    """Usual settings of an optimizer.

    Args:
        peak: Of the learning rate.
        others: Name -> value of what else is learned.
    """

    peak: float
    others: dict[str, float]


_ADAM = Practice(3e-3, {"beta1": 0.9, "beta2": 0.999, "weight_decay": 1e-2})
PRACTICE: dict[type[Optimizer], Practice] = {
    SGD: Practice(0.1, {"momentum": 0.9, "weight_decay": 5e-4}),
    Adam: replace(_ADAM, others={**_ADAM.others, "weight_decay": 1e-5}),
    NAdam: replace(_ADAM, others={**_ADAM.others, "weight_decay": 1e-5}),
    AdamW: _ADAM,
    RMSprop: Practice(1e-3, {"weight_decay": 1e-5}),
    Lion: Practice(3e-4, {"beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}),
    Muon: Practice(0.02, {"momentum": 0.95, "weight_decay": 1e-2}),
}


def warm(problem: Problem) -> bool:
    """Whether it starts from a schedule that someone gave."""
    return problem.start is not None and problem.start != practised(replace(problem, start=None))


def usual(optimizer: Optimizer) -> Practice | None:
    """What is usual for this optimizer, whatever its groups; None where nobody knows."""
    return PRACTICE.get(type(innermost(optimizer)))


def innermost(optimizer: Optimizer) -> Optimizer:
    """What groups and factors go around."""
    while isinstance(optimizer, (Grouped, Scaled)):
        optimizer = optimizer.base
    return optimizer


def practised(problem: Problem, falling: bool = True, higher: float = 1.0) -> Schedule:
    """Where a search starts: a learning rate that falls to nothing, and what else is usual.

    A value that the user gave (``initial=``) stays: for the learning rate one number is the peak, and
    several are the schedule.

    Args:
        falling: Else the learning rate stays at its peak.
        higher: Than usual, that peak is by this factor.
    """
    known, given = usual(problem.optimizer), problem.optimizer.given()
    values = dict[str, Tensor]()
    for name, hyper in problem.learned.items():
        setting, basis = name.partition("[")[0], given.get(name)
        own = isinstance(basis, Basis) and basis.initial is not None
        if hyper.owner != "optimizer" or not isinstance(hyper.basis, TimeBasis):
            continue
        if setting == _RATE:
            values[name] = _rate(hyper, problem.steps, own, known, falling, higher)
        elif known is not None and not own and setting in known.others:
            values[name] = hyper.clip(torch.full_like(hyper.initial, known.others[setting]))
    return problem.initial.with_coefficients(values)


def _rate(
    hyper: Hyperparameter,
    steps: int,
    own: bool,
    known: Practice | None,
    falling: bool,
    higher: float,
) -> Tensor:
    assert isinstance(hyper.basis, TimeBasis)
    if own and len(hyper.initial.unique()) > 1:
        return hyper.clip(higher * hyper.initial)
    peak = higher * (float(hyper.initial[0]) if own or known is None else known.peak)
    shape = torch.ones(len(hyper.initial), dtype=torch.float64)
    if falling and len(shape) > 1:
        middles = _middles(hyper.basis, steps)
        shape = (1 - middles).clamp(min=_FLOOR)
    return hyper.clip(peak * shape)


def _middles(basis: TimeBasis, steps: int) -> Tensor:
    """Where each coefficient acts, from 0 to 1: knots where they stand, others on average."""
    time = torch.arange(steps, dtype=torch.float64) / max(steps - 1, 1)
    if isinstance(basis, Linear):
        return time[basis.positions(steps)]
    weights = basis.project(torch.ones(steps, dtype=torch.float64), steps)
    return basis.project(time, steps) / weights.clamp(min=1e-12)
