"""What a search returns: the schedule, its history, why it ended, what it cost."""

import enum
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from ..schedules import Schedule


class Status(enum.Enum):
    """Why the outer loop ended; the value is a help text."""

    completed = "All outer steps were taken. More of them may improve the schedule further."
    converged = "Every hyperparameter settled: further outer steps would hardly move it."
    stalled = (
        "No proposal improved on the best schedule any more. It may be the optimum for this noise; "
        "more seeds or finer windows may still improve it."
    )
    rejected = (
        "Too many proposals in a row diverged, and the best schedule before them is returned. Lower "
        "the upper bound of the learning rate, or start lower."
    )
    budget_spent = "The budget of plain runs is spent. Raise it, or start again from this schedule."
    interrupted = "The search was interrupted; this is the best schedule that it had evaluated."


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

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary; a non-finite loss becomes None."""
        row = asdict(self)
        if not abs(self.validation_loss) < float("inf"):
            row["validation_loss"] = None
        if not self.edges:
            del row["edges"]
        return row


def mean_accuracy(accuracies: Iterable[float | None]) -> float | None:
    """Over the seeds that have one; None where none has."""
    known = [value for value in accuracies if value is not None]
    return statistics.fmean(known) if known else None


@dataclass(frozen=True)
class StepOutcome:
    """What one outer step came to, as far as only the rule knows.

    Attributes:
        schedule: Where it stands now.
        loss, accuracy: Mean validation loss and accuracy there; an infinite loss where it diverged.
        signs: Name -> one of ``+``, ``-``, ``0`` per coefficient.
        accepted: Whether the step improved on (or started) the current schedule.
        note: What happened, in words.
    """

    schedule: Schedule
    loss: float
    accuracy: float | None
    signs: dict[str, str]
    accepted: bool
    note: str = ""

    def row(self, index: int, seconds: float, cost: float, learn: Iterable[str]) -> OuterStep:
        """Its row of the history."""
        curves = {name: self.schedule.curves[name] for name in learn}
        values = {name: curve.coefficients.tolist() for name, curve in curves.items()}
        edges = {name: list(curve.edges) for name, curve in curves.items() if curve.edges}
        return OuterStep(
            index, self.loss, self.accuracy, values, self.signs,
            seconds, cost, self.accepted, self.note, edges,
        )  # fmt: skip


@dataclass(frozen=True)
class Result:
    """What :func:`nongreedy.tune` returns.

    Attributes:
        schedule: The best schedule among the evaluated ones, judged on validation data only.
        validation_loss: Its mean validation loss over the seeds it was judged on.
        validation_accuracy: Likewise, or None.
        history: One row per outer step.
        status: Why the search ended.
        cost: Plain training runs' worth of gradients that were spent.
        settings: What a repetition needs.
        runs: Plain runs that were begun, hypergradients not counted.
        unfinished: Those of them that diverged.
        parameters: Name -> parameter of the network that an online run has trained; empty for
            searches, which end with a schedule.
    """

    schedule: Schedule
    validation_loss: float
    validation_accuracy: float | None
    history: list[OuterStep]
    status: Status
    cost: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 0
    unfinished: int = 0
    parameters: Mapping[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
