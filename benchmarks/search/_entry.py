"""One task of the suite: how it is made, what is learned, and what judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nongreedy as ng

from ._data import Data

SGD = ng.SGD(ng.Linear(5), ng.Windows(1), ng.Windows(1))
ADAMW = ng.AdamW(ng.Linear(5), beta1=ng.Windows(1), weight_decay=ng.Windows(1))


@dataclass(frozen=True)
class Entry:
    """A row of the table of tasks.

    Args:
        words: What it is, in a line.
        make: The task, from a part of the data.
        steps: Of a run.
        optimizer: What is learned, on which bases.
        measure: What judges: one of the measures of a comparison.
    """

    words: str
    make: Callable[[Data], ng.Task]
    steps: int
    optimizer: ng.Optimizer = SGD
    measure: str = "test_accuracy"

    @property
    def higher(self) -> bool:
        """Whether more of the measure is better."""
        return self.measure.endswith("accuracy")

    @property
    def identity(self) -> dict[str, Any]:
        """What a finished piece was made with."""
        return {
            "words": self.words,
            "steps": self.steps,
            "optimizer": self.optimizer.to_json(),
            "measure": self.measure,
        }
