"""A schedule, given as such or as the path of its file."""

import os

from ..schedules import Schedule


def schedule_from(schedule: Schedule | str | os.PathLike[str]) -> Schedule:
    """The schedule itself."""
    if isinstance(schedule, Schedule):
        return schedule
    if isinstance(schedule, (str, os.PathLike)):
        return Schedule.load(schedule)
    raise TypeError(
        "Give a Schedule, such as `result.schedule`, or the path of a schedule.json; got "
        f"{schedule!r}."
    )
