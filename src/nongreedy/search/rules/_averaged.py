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
    changed = schedule_free(base) if usual(base) is not None else None
    if changed is None:
        return []
    other = replace(problem, optimizer=around(problem.optimizer, changed), start=None)
    if problem.start is not None:  # else the search is to begin at the first values
        higher = _HIGHER[_role(base)]
        other = replace(other, start=practised(other, falling=False, higher=higher))
    able = engine.estimates or not engine.differentiates or _exact(other, engine)
    return [other] if able else []


def schedule_free(base: Optimizer) -> Optimizer | None:
    """With the average in place of its momentum; None where it has no such form."""
    role = _role(base)
    dampened = getattr(base, "dampening", 0.0) > 0  # which torch leaves out where momentum is 0
    if base.average is not None or not role or dampened:
        return None
    setting = getattr(base, role)
    least = max(0.0, setting.bounds[0]) if isinstance(setting, Basis) and setting.bounds else 0.0
    still = replace(setting, initial=least) if isinstance(setting, Basis) else least
    try:
        return replace(base, **{role: still}, average=ScheduleFreeAverage(Constant()))
    except ValueError:  # its coordinate does not hold 0; or it cannot be averaged
        return None


def around(optimizer: Optimizer, base: Optimizer) -> Optimizer:
    """The same groups around another base."""
    if isinstance(optimizer, (Grouped, Scaled)):
        return replace(optimizer, base=around(optimizer.base, base))
    return base


def _role(base: Optimizer) -> str:
    return next((name for name in _HIGHER if name in base.learnable), "")


def _exact(problem: Problem, engine: Engine) -> bool:
    reason = engine.inexact_because(problem.run(), problem.initial, list(problem.learned))
    return reason is None
