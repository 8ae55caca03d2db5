"""One outer step: its row of the history, and what a rule knows of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..schedules import Schedule


@dataclass(frozen=True)
class OuterStep:
    """One row of the history.

    Attributes:
        index: 0-based outer step.
        validation_loss: Mean over the seeds of this step, at `values`; infinite if it diverged.
        validation_accuracy: Likewise, or None where that has no meaning.
        values: Name -> coefficients, in their own units.
        signs: Name -> one of ``+``, ``-``, ``0`` per coefficient: the hypergradient's sign, ``0``
            where it is zero or where the seeds disagree.
        seconds: Wall-clock time of this step.
        cost: Plain training runs' worth of gradients spent so far, everything counted.
        accepted: Whether the step improved on (or started) the current schedule.
        note: What happened, in words.
        edges: Name -> where windows of unequal length meet, relative to the run; without the others.
        validation_metrics: The task's own, by name: means over the seeds, likewise.
    """

    index: int
    validation_loss: float
    validation_accuracy: float | None
    values: dict[str, list[float]]
    signs: dict[str, str]
    seconds: float
    cost: float
    accepted: bool
    note: str = ""
    edges: dict[str, list[float]] = field(default_factory=dict)
    validation_metrics: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; what is not finite becomes None."""
        row = asdict(self)
        if not math.isfinite(self.validation_loss):
            row["validation_loss"] = None
        metrics = row["validation_metrics"]
        row["validation_metrics"] = {n: v if math.isfinite(v) else None for n, v in metrics.items()}
        return {k: v for k, v in row.items() if v or k not in ("edges", "validation_metrics")}

    def flat(self) -> dict[str, Any]:
        """A row of a table: name -> value, with one for each coefficient."""
        names = ("index", "validation_loss", "validation_accuracy", "cost", "seconds", "accepted")
        return {
            **{name: getattr(self, name) for name in names},
            **{f"metric:{name}": value for name, value in self.validation_metrics.items()},
            **{f"{n}[{k}]": v for n, row in self.values.items() for k, v in enumerate(row)},
            "note": self.note,
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> OuterStep:
        """The inverse of :meth:`to_json`, where a loss that is not finite is infinite."""
        loss, metrics = row["validation_loss"], row.get("validation_metrics", {})
        return cls(**{
            **row, "validation_loss": math.inf if loss is None else loss,
            "validation_metrics": {n: math.nan if v is None else v for n, v in metrics.items()},
        })  # fmt: skip


def mean_accuracy(accuracies: Iterable[float | None]) -> float | None:
    """Over the seeds that have one; None where none has."""
    known = [value for value in accuracies if value is not None]
    return statistics.fmean(known) if known else None


def mean_metrics(found: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Over the seeds, of those metrics that all of them have."""
    rows = list(found)
    names = [name for name in rows[0] if all(name in row for row in rows)] if rows else []
    return {name: statistics.fmean(row[name] for row in rows) for name in names}


@dataclass(frozen=True)
class StepOutcome:
    """What one outer step came to, as far as only the rule knows.

    Attributes:
        schedule: Where it stands now.
        loss, accuracy: Mean validation loss and accuracy there; an infinite loss where it diverged.
        signs: Name -> one of ``+``, ``-``, ``0`` per coefficient.
        accepted: Whether the step improved on (or started) the current schedule.
        note: What happened, in words.
        metrics: The task's own, by name.
    """

    schedule: Schedule
    loss: float
    accuracy: float | None
    signs: dict[str, str]
    accepted: bool
    note: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def row(self, index: int, seconds: float, cost: float, learn: Iterable[str]) -> OuterStep:
        """Its row of the history."""
        curves = {name: self.schedule.curves[name] for name in learn}
        values = {name: curve.coefficients.tolist() for name, curve in curves.items()}
        edges = {name: list(curve.edges) for name, curve in curves.items() if curve.edges}
        return OuterStep(
            index, self.loss, self.accuracy, values, self.signs,
            seconds, cost, self.accepted, self.note, edges, dict(self.metrics),
        )  # fmt: skip
