"""Cells of tables, kept in a file as they are finished: the same command goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nongreedy.schedules._files import replace_file


class Cells:
    """Name -> a JSON value, in a file.

    Args:
        file: Made with the first cell; None: nothing is kept.
    """

    def __init__(self, file: Path | None):
        self.file = file
        self.held = json.loads(file.read_text()) if file is not None and file.exists() else {}

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """The value of this name, made now unless it is kept."""
        if name not in self.held:
            self.held[name] = make()
            if self.file is not None:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                replace_file(self.file, json.dumps(self.held, indent=1, allow_nan=False) + "\n")
        return self.held[name]


def show(head: list[str], rows: list[list[object]]) -> None:
    """A table in Markdown."""
    for row in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print(flush=True)
