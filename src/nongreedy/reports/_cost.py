"""What a search spent, and on what."""

from __future__ import annotations

from dataclasses import dataclass

from ._chart import Axis, Bars, Chart
from ._losses import outer_steps
from ._palette import RUNS, SWEEPS
from ._record import Record
from ._words import number


@dataclass(frozen=True)
class Cost:
    """Costs in plain training runs.

    Attributes:
        each: Of every outer step, all together.
        runs: Its plain runs.
        sweeps: Its hypergradients, likewise.
        last: Of what came after the last outer step; None where that is not known.
    """

    each: list[float]
    runs: list[float]
    sweeps: list[float]
    last: float | None

    @classmethod
    def of(cls, record: Record) -> Cost:
        """From the growing sums in the rows, less the plain runs that each step names."""
        sums = [row.cost for row in record.rows]
        each = [after - before for before, after in zip([0.0, *sums], sums, strict=False)]
        runs = [step.run_cost for step in record.steps]
        sweeps = [max(0.0, all_ - own) for all_, own in zip(each, runs, strict=True)]
        return cls(each, runs, sweeps, record.last_cost)

    def table(self) -> list[tuple[str, float]]:
        """What, and what it cost."""
        rows = [
            ("plain runs of the outer steps", sum(self.runs)),
            ("hypergradients of the outer steps", sum(self.sweeps)),
        ]
        if self.last is not None:
            rows.append(("final comparison, with a step that was not finished", self.last))
        return rows

    def chart(self, record: Record) -> Chart:
        """What each outer step cost."""
        x = [row.index for row in record.rows]
        bars = [
            Bars(x, self.runs, RUNS, "plain runs"),
            Bars(x, self.sweeps, SWEEPS, "hypergradients"),
        ]
        highest = max(runs + sweeps for runs, sweeps in zip(self.runs, self.sweeps, strict=True))
        caption = (
            f"In plain training runs; {number(sum(self.each), 3)} for all outer steps together."
        )
        y = Axis("cost (plain training runs)", (0.0, 1.3 * highest or 1.0))
        below, title = outer_steps(record.rows), "cost of each outer step"
        return Chart("cost", title, caption, below, y, bars, legend=True)
