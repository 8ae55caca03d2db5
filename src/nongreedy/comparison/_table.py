"""The table of a comparison: its methods, best first, and what each costs."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._piece import MEASURES, Piece
from ._regret import Course, reached, regrets

ALIKE = 2.0  # standard errors of a difference that tell nobody apart


@dataclass(frozen=True)
class Row:
    """One method over its outer seeds.

    Attributes:
        scores: Mean over the fresh trainings for each outer seed at which something was found.
        mean, standard_error: Of these; the error is nan for a single one, and where a loss is infinite.
        validation_loss: Mean over fresh trainings: what the choice is worth.
        seen_loss: Mean of what the searches saw of their choices; lower by the luck of the draw.
        cost: Mean plain runs' worth of gradients spent by a search.
        runs, unfinished: Mean number of runs that it began, and of those that diverged or were pruned.
        seconds: Mean time of a search.
        failures: Outer seeds at which nothing was found.
    """

    method: str
    scores: list[float]
    mean: float
    standard_error: float
    validation_loss: float
    seen_loss: float
    cost: float
    runs: float
    unfinished: float
    seconds: float
    failures: int


@dataclass(frozen=True)
class Table:
    """What a :class:`Comparison` holds, and what can be read from it."""

    pieces: Sequence[Piece]
    settings: Mapping[str, Any] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """What was trained, in words."""
        return str(self.settings.get("task") or "a task")

    @property
    def measure(self) -> str:
        """What methods are ranked by: the first of :data:`MEASURES` that fresh trainings gave."""
        return next(
            (name for name in MEASURES if any(name in piece.fresh for piece in self.pieces)),
            MEASURES[-1],
        )

    def rows(self) -> list[Row]:
        """The methods, best first by the mean of the measure; those that found nothing last."""
        groups: dict[str, list[Piece]] = {}
        for piece in self.pieces:
            groups.setdefault(piece.method, []).append(piece)
        sign = -1 if self.measure.endswith("accuracy") else 1
        rows = [_row(name, pieces, self.measure) for name, pieces in groups.items()]
        return sorted(rows, key=lambda r: math.inf if math.isnan(r.mean) else sign * r.mean)

    def regret(self, measure: str = "validation_loss") -> dict[str, Course]:
        """Method -> how far `measure` lies from that of the best of all, against the cost."""
        return regrets(self.pieces, measure)

    def cost_to_reach(
        self, regret: float, measure: str = "validation_loss"
    ) -> dict[str, float | None]:
        """Method -> plain runs after which its regret is at most `regret`, to the end; None: never.

        Args:
            regret: In the units of the measure: 0.005 is half a point of an accuracy.
            measure: One of those that fresh trainings gave, such as ``"test_accuracy"``.
        """
        return {name: reached(line, regret) for name, line in self.regret(measure).items()}

    def head(self) -> list[str]:
        """Titles of the columns of the table."""
        percent = " (%)" if self._percent else ""
        return [
            "method", self.measure.replace("_", " ") + percent, "per outer seed",
            "validation loss, fresh", "as the search saw it", "cost in plain runs",
            "runs begun, not finished", "seconds",
        ]  # fmt: skip

    def cells(self) -> list[list[str]]:
        """The table, best method first."""
        return [
            [
                row.method, spread(row, self._percent),
                ", ".join(shown(score, self._percent) for score in row.scores) or "nothing found",
                f"{row.validation_loss:.4f}", f"{row.seen_loss:.4f}", f"{row.cost:.1f}",
                f"{row.runs:.0f}, {row.unfinished:.0f}", f"{row.seconds:.0f}",
            ]
            for row in self.rows()
        ]  # fmt: skip

    @property
    def _percent(self) -> bool:
        return self.measure.endswith("accuracy")

    def markdown(self) -> str:
        """The table, for a report."""
        head = self.head()
        lines = [head, ["---"] * len(head), *self.cells()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, pieces: Sequence[Piece], measure: str) -> Row:
    judged = [piece for piece in pieces if piece.fresh]
    scores = [piece.score(measure) for piece in judged]

    def mean(values: list[float]) -> float:
        return statistics.fmean(values) if values else math.nan

    known = len(scores) > 1 and all(map(math.isfinite, scores))  # a loss may have diverged
    error = statistics.stdev(scores) / math.sqrt(len(scores)) if known else math.nan
    fresh = mean([piece.score("validation_loss") for piece in judged])
    seen = mean([piece.validation_loss for piece in judged])
    names = ("cost", "runs", "unfinished", "seconds")
    spent = {what: mean([getattr(piece, what) for piece in pieces]) for what in names}
    failures = len(pieces) - len(judged)
    return Row(name, scores, mean(scores), error, fresh, seen, **spent, failures=failures)


def shown(value: float, percent: bool) -> str:
    """A score: an accuracy in percent, a loss with four digits."""
    return f"{100 * value:.2f}" if percent else f"{value:.4f}"


def spread(row: Row, percent: bool) -> str:
    """Mean ± standard error, and where nothing was found."""
    if not row.scores:
        return "nothing found"
    error = "" if math.isnan(row.standard_error) else f" ± {shown(row.standard_error, percent)}"
    failed = f" ({row.failures} found nothing)" if row.failures else ""
    return shown(row.mean, percent) + error + failed


def alike(rows: Sequence[Row]) -> list[Row]:
    """The first row, and those whose means lie within two standard errors of the difference."""
    best, *others = rows
    near = [
        row
        for row in others
        if abs(row.mean - best.mean) <= ALIKE * math.hypot(row.standard_error, best.standard_error)
    ]
    return [best, *near]
