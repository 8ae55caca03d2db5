"""The way of training that averages its weights, as an alternative."""

from dataclasses import replace

from ...engines import Engine, Problem
from ...optimizers import Grouped, Optimizer, Scaled, ScheduleFreeAverage
from ...schedules import Basis, Constant
from ._practice import innermost, practised, usual

_HIGHER = {"momentum": 10.0, "beta1": 3.0}  # peaks, by what the average takes the place of


def averaged(problem: Problem, engine: Engine) -> list[Problem]:
    """The same schedule-free, where the optimizer has no average and the engine differentiates one.

    Its learning rate does not fall, and its own momentum begins at 0, also where it is fixed, or at its
    lower bound.
    """
    base = innermost(problem.optimizer)
    role = next((name for name in _HIGHER if name in base.learnable), None)
    if base.average is not None or usual(base) is None or role is None:
        return []
    setting = getattr(base, role)
    least = max(0.0, setting.bounds[0]) if isinstance(setting, Basis) and setting.bounds else 0.0
    still = replace(setting, initial=least) if isinstance(setting, Basis) else least
    changed = replace(base, **{role: still}, average=ScheduleFreeAverage(Constant()))
    other = replace(problem, optimizer=_around(problem.optimizer, changed), start=None)
    other = replace(other, start=practised(other, falling=False, higher=_HIGHER[role]))
    return [other] if _exact(other, engine) or not _exact(problem, engine) else []


def _exact(problem: Problem, engine: Engine) -> bool:
    reason = engine.inexact_because(problem.run(), problem.initial, list(problem.learned))
    return reason is None


def _around(optimizer: Optimizer, base: Optimizer) -> Optimizer:
    """The same groups around another base."""
    if isinstance(optimizer, (Grouped, Scaled)):
        return replace(optimizer, base=_around(optimizer.base, base))
    return base
