"""Which progress a search shows."""

import importlib.util
import os
import sys

from .. import Callback
from ._lines import Lines


def shown(progress: bool | None) -> list[Callback]:
    """Who shows it: nobody; a table and a bar where someone looks, or where it is forced; else lines.

    Args:
        progress: As of :func:`nongreedy.tune`.

    Raises:
        ValueError: Anything else.
    """
    if progress not in (None, True, False):
        raise ValueError(f"`progress` must be True, False or None, but got {progress!r}.")
    if progress is False:
        return []
    streams = [s for s in (sys.stderr, sys.stdout) if s is not None]
    terminal = None
    if os.environ.get("TERM") != "dumb":
        terminal = next((s for s in streams if s.isatty()), None)
    if importlib.util.find_spec("rich") is None or not (terminal or (progress and streams)):
        return [Lines()]
    from ._screen import Screen  # rich is imported where it is used

    return [Screen(terminal or streams[0], verdict=True)]
