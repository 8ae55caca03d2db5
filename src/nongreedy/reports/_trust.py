"""How far the hypergradients of a study can be trusted: their size against their noise over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..schedules import Linear
from ..statistics import CLEAR
from ..trust import Trust
from ._figure import number
from ._page_parts.markup import table, text
from ._record import Record, Step

_MOST = 100  # rows of the table


@dataclass(frozen=True)
class Coefficient:
    """One coefficient of one hyperparameter, differentiated on several seeds."""

    name: str
    place: str
    values: np.ndarray

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return float(self.values.mean())

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds."""
        return float(self.values.std(ddof=1))

    @property
    def ratio(self) -> float:
        """Mean over its standard error; 0 where both are zero."""
        error = self.deviation / len(self.values) ** 0.5
        return 0.0 if self.mean == 0 else abs(self.mean) / error if error else float("inf")

    @property
    def same(self) -> int:
        """How many seeds have the sign that most of them have."""
        return int(max((self.values > 0).sum(), (self.values < 0).sum()))

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.values.any():
            return "zero"
        if self.same < len(self.values):
            return "seeds disagree"
        return "clear" if self.ratio >= CLEAR else "agree, but noisy"


def trust_section(record: Record) -> str:
    """What the seeds of the study say of its hypergradients: HTML, of the last outer step that has
    several of them."""
    several = [step for step in record.steps if len(step.sweeps) > 1]
    if not several:
        return (
            "<p>No outer step has hypergradients of more than one seed, so that nothing can be said "
            "of their noise. <code>ng.tune(..., seeds=2)</code> or more would show it.</p>"
        )
    step = several[-1]
    found, seeds = coefficients(record, step), len(step.sweeps)
    if not found:
        return (
            "<p>The study does not keep coefficients of its hypergradients: there are too many.</p>"
        )
    agreed = [c for c in found if c.verdict in ("clear", "agree, but noisy")]
    clear = [c for c in found if c.verdict == "clear"]
    lead = (
        f"Outer step {step.row.index} has the hypergradients of {seeds} seeds. Of {len(found)} "
        f"coefficients, {len(agreed)} have the same sign for all of them (pure noise would give one "
        f"in {2 ** (seeds - 1)}), and {len(clear)} of these lie {CLEAR:g} standard errors or more "
        "from zero. Of so few seeds a standard error is a rough estimate itself."
    )
    rows = [
        [c.name.replace("_", " "), c.place, number(c.mean), number(c.deviation),
         number(c.ratio), f"{c.same} of {seeds}", c.verdict]
        for c in found[:_MOST]
    ]  # fmt: skip
    head = [
        "hyperparameter", "coefficient", "mean", "deviation over seeds", "mean / its standard error",
        "seeds of this sign", "verdict",
    ]  # fmt: skip
    more = f"<p>{len(found) - _MOST} more are left out.</p>" if len(found) > _MOST else ""
    return f"{_judged(record, step)}<p>{text(lead)}</p>{table(head, rows, numeric=(2, 3, 4))}{more}"


def _judged(record: Record, step: Step) -> str:
    """The verdict of the trust report and its advice, where the sweeps are kept whole."""
    found = [sweep.whole for sweep in step.sweeps if sweep.whole is not None]
    if len(found) < len(step.sweeps):
        return ""
    try:
        trust = Trust.of(found, step.schedule, record.horizon)
    except ValueError:  # the schedule that was differentiated had other windows than its successor
        return ""
    advice = "".join(f"<li>{text(line)}</li>" for line in trust.advice)
    verdict = f"<p><strong>{text(trust.verdict.name)}</strong>: {text(trust.verdict.value)}</p>"
    return verdict + (f"<ul>{advice}</ul>" if advice else "")


def coefficients(record: Record, step: Step) -> list[Coefficient]:
    """Every coefficient that all seeds of a step have."""
    found = []
    for name in record.learned:
        columns = [sweep.gradients.get(name) for sweep in step.sweeps]
        known = [column for column in columns if column is not None]
        if len(known) < len(columns) or len({len(column) for column in known}) != 1:
            continue
        for index, values in enumerate(np.stack(known).T):
            found.append(Coefficient(name, _place(record, name, index, len(known[0])), values))
    return found


def _place(record: Record, name: str, index: int, count: int) -> str:
    """Where in the run a coefficient acts."""
    if name not in record.curves:
        return f"entry {index}"
    if count == 1:
        return "whole run"
    if isinstance(record.schedule.curves[name].basis, Linear):
        return f"knot at step {int(Linear(count).positions(record.horizon)[index])}"
    low, high = (-(-part * record.horizon // count) for part in (index, index + 1))
    return f"steps {low} to {high - 1}"
