"""Finished rows of a benchmark in a JSON file: what was killed goes on where it stopped."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nongreedy.schedules._files import replace_file


class Rows:
    """Key -> what was found, kept as it is found."""

    def __init__(self, file: Path):
        self.file = file
        self.found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """A row, computed where it is not there yet."""
        if key not in self.found:
            self.found[key] = make()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self.file, json.dumps(self.found))
        return self.found[key]


def mean_error(values: Sequence[float]) -> str:
    """Mean and standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):.4f} ± {error:.4f}"
