"""What a search spent, and on what."""

from __future__ import annotations

from dataclasses import dataclass

from . import _colours as colours
from ._record import Record


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

    def stacks(self) -> list[tuple[str, list[float], str]]:
        """Label, cost of every outer step, colour."""
        return [
            ("plain runs", self.runs, colours.RUNS),
            ("hypergradients", self.sweeps, colours.SWEEPS),
        ]

    def table(self) -> list[tuple[str, float]]:
        """What, and what it cost."""
        rows = [(f"{label} of the outer steps", sum(v)) for label, v, _ in self.stacks()]
        if self.last is not None:
            rows.append(("final comparison, with a step that was not finished", self.last))
        return rows
