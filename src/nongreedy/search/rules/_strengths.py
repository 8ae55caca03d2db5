"""How strong, all together: augmentations, noise and whatever else of a task is off at 0."""

from __future__ import annotations

from collections.abc import Callable

from ...engines import Problem
from ...schedules import Hyperparameter, Schedule

_STRIDE, _FARTHEST = 0.5, 1.0  # decades
_FEW = 64  # coefficients: more are weights of examples and the like, of which only ratios matter


def strengthened(
    problem: Problem,
    begun: Schedule,
    loss: float,
    run: Callable[[Schedule], float],
    affords: Callable[[], bool],
) -> None:
    """All strengths weaker or stronger by one factor, as long as that is better; each a plain run.

    Each part of a recipe changes a loss by less than two seeds differ, and a hypergradient at one strength
    knows little of another: all of them together are seen in one run. On few images that are often looked
    at the best factor is above 2, in a short run below a quarter.

    Args:
        begun: With what strengths, and to what loss.
        run: The loss of a schedule.
        affords: Whether one more can be paid for.
    """
    for sign in (-1, 1):
        best, place = loss, sign * _STRIDE
        while abs(place) <= _FARTHEST and affords():
            found = run(scaled(problem, begun, 10.0**place))
            if found >= best:
                break
            best, place = found, place + sign * _STRIDE
        if best < loss:
            return


def scaled(problem: Problem, schedule: Schedule, factor: float) -> Schedule:
    """All strengths times a factor, within their bounds."""
    found = {name: hyper for name, hyper in problem.learned.items() if is_strength(hyper)}
    return schedule.with_coefficients(
        {name: hyper.clip(schedule[name] * factor) for name, hyper in found.items()}
    )


def is_strength(hyper: Hyperparameter) -> bool:
    """Of the task, short, moved along its own value, and nothing at 0, its lower bound."""
    own = hyper.owner == "task" and hyper.transform is None and not hyper.free
    begins = bool((hyper.initial > 0).any())
    return own and begins and hyper.bounds[0] == 0.0 and len(hyper.initial) <= _FEW
