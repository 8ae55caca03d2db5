"""One finished piece of a comparison: a method, an outer seed, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..schedules._files import plain
from ..training import Retrained

# What schedules are judged by: the first of these that the task can give.
MEASURES = ("test_accuracy", "validation_accuracy", "test_loss", "validation_loss")


@dataclass(frozen=True)
class Piece:
    """What one search found, what it cost, and what fresh trainings say of it.

    Attributes:
        method, seed: Which search.
        cost: Plain runs' worth of gradients that it spent, at most the budget.
        validation_loss: Of its choice, as the search saw it; infinite if it found nothing.
        fresh: One of :data:`MEASURES` -> its value in each fresh training.
        schedule: What was found, as :meth:`Schedule.to_json` has it, or None.
        curve: (cost, best validation loss so far), an entry for each improvement.
        judged: (cost, measure -> its mean in fresh trainings) of what it would have returned from there
            on; the last is its choice. Empty where no one asked.
        runs: Runs that it began, of any length; hypergradients are not counted here.
        unfinished: Those of them that diverged or were pruned.
        seconds: Of the search; of one that was killed, in the process that ended it.
    """

    method: str
    seed: int
    cost: float
    validation_loss: float
    fresh: Mapping[str, list[float]]
    schedule: Mapping[str, Any] | None
    curve: list[tuple[float, float]]
    judged: list[tuple[float, Mapping[str, float]]]
    runs: int
    unfinished: int
    seconds: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Method and outer seed."""
        return f"{self.method}|{self.seed}"

    def score(self, measure: str) -> float:
        """Mean over the fresh trainings; nan if nothing was found."""
        return means(self.fresh).get(measure, math.nan)

    def course(self, measure: str) -> list[tuple[float, float]]:
        """(cost, what the search would have returned from there on is worth): in fresh trainings, or
        else, if it is the validation loss that is asked for, as the search itself saw it."""
        if self.judged:
            return [(cost, means[measure]) for cost, means in self.judged if measure in means]
        return self.curve if measure == "validation_loss" else []

    @classmethod
    def from_json(cls, row: Any) -> Piece:
        """The inverse of :meth:`to_json`; ValueError where it is anything else."""
        try:
            numbers = {
                "validation_loss": float(row["validation_loss"]),
                "fresh": {n: [*map(float, values)] for n, values in row["fresh"].items()},
                "curve": [(float(cost), float(loss)) for cost, loss in row["curve"]],
                "judged": [
                    (float(cost), {n: float(v) for n, v in means.items()})
                    for cost, means in row["judged"]
                ],
            }
            rest = {name: row[name] for name in cls.__dataclass_fields__ if name in row}
            return cls(**{**rest, **numbers})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{row!r:.60} is no search of a comparison, or one of another release "
                f"({type(error).__name__}: {error}). Name another study."
            ) from error

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON; infinity is a word."""
        return plain(asdict(self))


def means(fresh: Mapping[str, list[float]]) -> dict[str, float]:
    """Of each measure, over its trainings."""
    return {name: sum(values) / len(values) for name, values in fresh.items() if values}


def measures(trained: Retrained) -> dict[str, float | None]:
    """What a fresh training came to."""
    return {name: getattr(trained, name) for name in MEASURES}


def measured(trained: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Every measure that all of these trainings have; infinity may be a word, as in JSON."""
    table = {name: [row[name] for row in trained] for name in MEASURES}
    return {n: [*map(float, row)] for n, row in table.items() if row and None not in row}
