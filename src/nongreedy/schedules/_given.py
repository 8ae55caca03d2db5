"""A schedule that was given, or the way to one."""

import os
from typing import Any

from ._schedule import Schedule


def checked_schedule(name: str, value: Any, also: str = "") -> Schedule:
    """The schedule itself; `also` says what else may be.

    Raises:
        TypeError: It is something else; the message says how a schedule is come by.
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, (str, os.PathLike)):
        way = "Read the file: ng.Schedule.load(path)."
    elif isinstance(getattr(value, "schedule", None), Schedule):
        way = f"Give {name}=result.schedule."
    else:
        way = "Make one, such as ng.Schedule.of(learning_rate=0.1), or take that of a result."
    raise TypeError(f"`{name}` must be a Schedule{also}, but got {value!r:.80}. {way}")
