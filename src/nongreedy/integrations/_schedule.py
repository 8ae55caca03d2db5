"""A schedule, given as such or as the path of its file."""

import os

from ..schedules import Schedule
from ..schedules._given import checked_schedule


def schedule_from(schedule: Schedule | str | os.PathLike[str]) -> Schedule:
    """The schedule itself."""
    if isinstance(schedule, (str, os.PathLike)):
        return Schedule.load(schedule)
    return checked_schedule("schedule", schedule, " or the path of its file")
