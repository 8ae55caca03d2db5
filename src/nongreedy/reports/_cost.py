"""What a search spent, and on what."""

from __future__ import annotations

from dataclasses import dataclass

from ..schedules._drawing._chart import Axis, Bars, Chart
from ..schedules._drawing._palette import HYPERGRADIENTS, RUNS
from ..search._losses import outer_steps
from ..search._words import number
from ._record import Record


@dataclass(frozen=True)
class Cost:
    """Costs in plain training runs.

    Attributes:
        runs, hypergradients: Of every outer step.
        last: Of what came after the last outer step; None where that is not known.
    """

    runs: list[float]
    hypergradients: list[float]
    last: float | None

    @classmethod
    def of(cls, record: Record) -> Cost:
        """From the growing sums in the rows, less the plain runs that each step names."""
        runs, sums = [step.run_cost for step in record.steps], [row.cost for row in record.rows]
        steps = zip([0.0, *sums], sums, runs, strict=False)
        rest = [max(0.0, after - before - own) for before, after, own in steps]
        return cls(runs, rest, record.last_cost)

    def table(self) -> list[tuple[str, float]]:
        """What, and what it cost."""
        last = "final comparison, with a step that was not finished"
        return [
            ("plain runs of the outer steps", sum(self.runs)),
            ("hypergradients of the outer steps", sum(self.hypergradients)),
            *([] if self.last is None else [(last, self.last)]),
        ]


def costs(record: Record) -> Chart:
    cost, rows = Cost.of(record), record.rows
    places = [row.index for row in rows]
    bars = [
        Bars(places, cost.runs, RUNS, "plain runs"),
        Bars(places, cost.hypergradients, HYPERGRADIENTS, "hypergradients"),
    ]
    highest = max(map(sum, zip(cost.runs, cost.hypergradients, strict=True)))
    caption = f"In plain training runs; {number(rows[-1].cost, 3)} for all outer steps together."
    y = Axis("cost (plain training runs)", (0.0, 1.3 * highest or 1.0))
    return Chart(
        "cost", "cost of each outer step", caption, outer_steps(rows), y, bars, legend=True
    )
