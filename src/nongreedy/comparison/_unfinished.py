"""A search of a comparison that survives a kill: what it was told so far, kept beside the log."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..search import Memory
from ..search._settings import versions
from ..studies import Study
from ._piece import Log


@contextmanager
def remembered(log: Log | None, key: str, settings: Mapping[str, Any]) -> Iterator[Memory]:
    """The memory of one search: an Optuna study in a folder of its own, or none without a log."""
    if log is None:
        yield Memory()
        return
    asked = {**settings, "search": key, **versions()}
    with Study(_folder(log, key) / "study.db").session(asked, {}, settings["steps"]) as memory:
        yield memory


def forget(log: Log, key: str) -> None:
    """The search is finished and in the log."""
    folder = _folder(log, key)
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # others are not finished
        folder.parent.rmdir()


def _folder(log: Log, key: str) -> Path:
    return log.path.with_suffix(".unfinished") / quote(key.replace("|", "-"), safe="")
