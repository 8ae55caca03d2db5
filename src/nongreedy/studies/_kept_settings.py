"""The settings of a study: kept, compared, and raised where a search may go on for longer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import StudyError
from ..schedules import spelled
from ._storage import Storage

Limit = Callable[[Mapping[str, Any]], float]

# A search that goes on under other versions or threads is as good, but not the same to the last bit.
_BITS_ONLY = ("nongreedy", "torch", "threads")


def settle(
    storage: Storage,
    settings: Mapping[str, Any],
    raised: Mapping[str, Limit],
    before_writing: Callable[[], None],
) -> None:
    """Write the settings of a new study, or larger ones; refuse others for an old one.

    Args:
        raised: Name of a limit that may be larger than before -> how far settings let a search go.
        before_writing: Called where larger ones are taken.

    Raises:
        StudyError: Other settings, or a smaller limit.
    """
    before = storage.read("settings")
    if before is None:
        storage.write("settings", dict(settings))
        return
    changed = [k for k in sorted({*before, *settings}) if before.get(k) != settings.get(k)]
    larger = [k for k in changed if k in raised and raised[k](settings) > raised[k](before)]
    grave = [k for k in changed if k not in (*_BITS_ONLY, *larger)]
    lines = {
        k: f"{k}: {_shown(before, k)} in the study, {_shown(settings, k)} now" for k in changed
    }
    if grave:
        ending = "Use those, or give the new search a name or a file of its own."
        if set(grave) <= set(raised):
            ending = "A search may be extended, not cut short: " + ending[0].lower() + ending[1:]
        raise StudyError(
            f"Study {storage.name!r} in {storage.address.shown!r} was made with other settings ("
            + "; ".join(lines[k] for k in changed if k not in _BITS_ONLY)
            + f"). {ending}"
        )
    if other := [lines[k] for k in changed if k in _BITS_ONLY]:
        warnings.warn(
            "The study goes on under other conditions, so that its end will not have the same bits as "
            "that of an undisturbed search: " + "; ".join(other) + ".",
            stacklevel=4,
        )
    if larger:
        before_writing()
        storage.write("settings", {**before, **{k: settings.get(k) for k in larger}})


def _shown(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key)
    return spelled(value) if isinstance(value, Mapping) else repr(value)
