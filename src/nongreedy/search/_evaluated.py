"""A run that is asked for, and a schedule that was run."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..engines import Outcome
from ..schedules import Schedule
from ._outer_step import mean_accuracy, mean_metrics


class Ask(NamedTuple):
    """A run of a schedule on a seed, which may be differentiated."""

    schedule: Schedule
    seed: int
    sweep: bool = False


@dataclass
class Evaluated:
    """A schedule that was run, and its outcome for each seed."""

    schedule: Schedule
    losses: dict[int, float] = field(default_factory=dict)
    accuracies: dict[int, float | None] = field(default_factory=dict)
    measured: dict[int, Mapping[str, float]] = field(default_factory=dict)

    def add(self, seed: int, outcome: Outcome) -> None:
        """One more run."""
        self.losses[seed], self.accuracies[seed] = outcome.loss, outcome.accuracy
        self.measured[seed] = outcome.metrics

    @property
    def loss(self) -> float:
        """Mean validation loss over its seeds."""
        return statistics.fmean(self.losses.values())

    @property
    def accuracy(self) -> float | None:
        """Mean validation accuracy over its seeds, or None."""
        return mean_accuracy(self.accuracies.values())

    @property
    def metrics(self) -> dict[str, float]:
        """Means of the task's own metrics over its seeds, by name."""
        return mean_metrics(self.measured.values())
