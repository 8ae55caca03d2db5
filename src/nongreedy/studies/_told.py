"""What a study tells of its search, without running anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import StudyError
from ..schedules import Schedule
from ..search import Gain, OuterStep, Result, Status
from ._storage import Storage


def told(storage: Storage, trials: Mapping[Any, Any], again: str = ".") -> Result:
    """Its result; of a search that is not finished, as if it were interrupted now.

    Args:
        trials: Those that hold, by outer step.
        again: How to go on, at the end of the error.

    Raises:
        StudyError: No outer step is finished.
    """
    settings = storage.read("settings")
    rows = sorted(index for index in trials if isinstance(index, int))
    if not rows or not isinstance(settings, dict):
        raise StudyError(
            f"Study {storage.name!r} in {storage.address.shown!r} has no finished outer step to report. "
            f"Go on with it first{again}"
        )
    history = [OuterStep.from_json(trials[index].user_attrs["row"]) for index in rows]
    status, final = storage.read("note:finished"), trials.get("final")
    if final and status is not None:  # else it is that of a shorter search, which is extended now
        attributes = final.user_attrs
        gain = Gain.from_json(attributes["gain"]) if attributes.get("gain") else None
        return Result(
            schedule_of(final), float(final.value), None, history, Status[status],
            float(attributes["cost"]), settings, gain=gain,
        )  # fmt: skip
    last = ([row for row in history if row.accepted] or history[:1])[-1]
    return Result(
        schedule_of(trials[last.index]), last.validation_loss, last.validation_accuracy, history,
        Status.interrupted, history[-1].cost, settings, validation_metrics=last.validation_metrics,
    )  # fmt: skip


def schedule_of(trial: Any) -> Schedule:
    """The one with which it ended."""
    return Schedule.from_json(trial.user_attrs["schedule"], source=f"trial {trial.number}")


@contextmanager
def readable(storage: Storage) -> Iterator[None]:
    """Say plainly that trials are not as this release writes them."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(
            f"Study {storage.name!r} in {storage.address.shown!r} cannot be read "
            f"({type(error).__name__}: {error}): its trials were changed or are of another release. "
            "Name another study."
        ) from error
