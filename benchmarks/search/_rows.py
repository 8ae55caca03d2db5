"""Finished searches as JSON lines: what is there is not repeated."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]


def read(file: Path, part: str) -> list[Row]:
    """Those on this part of the data."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [row for row in map(json.loads, lines) if row["part"] == part]


def append(file: Path, part: str, row: Row) -> Row:
    """One more, as it is kept."""
    kept = {"part": part, **row}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(kept) + "\n")
    return kept
