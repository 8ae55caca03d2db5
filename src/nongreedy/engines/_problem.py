"""Where a run is differentiated, and by what: the beginning of every question about derivatives."""

from __future__ import annotations

from ..errors import nearest_name
from ..optimizers import Optimizer
from ..schedules import Hyperparameter, Schedule
from ..schedules._hyperparameter import learned
from ..task import Task


def differentiable(
    task: Task, optimizer: Optimizer, steps: int, schedule: Schedule | None = None
) -> tuple[Schedule, dict[str, Hyperparameter]]:
    """The schedule to differentiate at, initial where none is given, and what is learned.

    Raises:
        ValueError: Nothing is learned, or the schedule sets what the optimizer does not have.
    """
    hyperparameters = {**optimizer.hyperparameters(steps), **task.hyperparameters(steps)}
    moving = learned(hyperparameters)
    if not moving:
        raise ValueError(f"Nothing to differentiate: every setting of {optimizer} is fixed.")
    return _starting_at(schedule, Schedule.initial(hyperparameters), steps), moving


def _starting_at(schedule: Schedule | None, initial: Schedule, steps: int) -> Schedule:
    """The given curves over the initial ones; per-step values of another budget become windows."""
    curves = dict(initial.curves)
    for name, curve in schedule.curves.items() if schedule is not None else ():
        if name not in curves:
            raise ValueError(
                f"The schedule sets {name!r}, which the optimizer does not have."
                + nearest_name(name, curves)
            )
        fits = curve.basis.size(steps) == len(curve.coefficients)
        curves[name] = curve if fits else curve.stretchable()
    return Schedule(curves)
