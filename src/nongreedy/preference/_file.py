"""A dialogue's file: every answer, written as it is given."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..schedules._files import read_json, replace_file

_FORMAT, _VERSION = "nongreedy.dialogue", 1


def read(path: Path, fingerprint: str) -> dict[str, Any]:
    """What was kept; nothing where there is no such file.

    Raises:
        DataError: No dialogue, a damaged one, or one about other items.
    """
    if not path.exists():
        return {"answers": [], "asked": None}
    try:
        kept = read_json(path)
        if kept["format"] != _FORMAT or kept["version"] != _VERSION:
            raise ValueError(f"its format is {kept['format']!r}, version {kept['version']!r}")
        if not isinstance(kept["answers"], list) or "asked" not in kept:
            raise ValueError("answers are missing")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{str(path)!r} is no dialogue that can be read ({error}). Move it away, or name another file."
        ) from error
    if kept["items"] != fingerprint:
        raise DataError(
            f"The dialogue in {str(path)!r} is about other items, or about the same ones scaled otherwise. "
            "Name another file, or give the items that it began with."
        )
    return kept


def write(path: str | os.PathLike[str], fingerprint: str, answers: list[Any], asked: Any) -> None:
    """All of it, or nothing."""
    content = {"format": _FORMAT, "version": _VERSION, "items": fingerprint}
    text = json.dumps({**content, "answers": answers, "asked": asked}, indent=1, allow_nan=False)
    replace_file(Path(path), text + "\n")
