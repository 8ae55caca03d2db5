"""A schedule, given as such or as the path of its file."""

from __future__ import annotations

import os

from ..schedules import Schedule


def schedule_from(given: Schedule | str | os.PathLike[str]) -> Schedule:
    """The schedule itself."""
    if isinstance(given, Schedule):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Schedule.load(given)
    raise TypeError(
        f"Give a Schedule, such as `result.schedule`, or the path of a schedule.json; got {given!r}."
    )
