"""How long a search will take yet."""

from __future__ import annotations

import itertools
import math

from .. import OuterStep
from .._outlook import Outlook


class TimeLeft:
    r"""Seconds that are left, from the outer steps that are behind.

    With c plain runs spent in n outer steps, and the mean cost m of an outer step, of which the first,
    which looks for the scale and is like no other, counts half, k outer steps more take

    .. math:: s_k = \min(m k + \mathrm{final}, \mathrm{budget} - c) \cdot \mathrm{seconds} / c

    A rule that finds nothing better stops by its patience, so that k lies between the fewest steps in
    which that may happen and all that are left. Nobody knows which, and what is said is
    :math:`\sqrt{s_\mathrm{fewest}\, s_\mathrm{most}}`, which is wrong by the least factor at worst.

    Seconds are those that the outer steps took when they were first taken: a search that goes on after
    a kill has them from its study.
    """

    def __init__(self, outlook: Outlook):
        self.outlook, self.rows = outlook, list[OuterStep]()

    def add(self, row: OuterStep) -> None:
        """One more outer step is finished."""
        self.rows.append(row)

    @property
    def seconds(self) -> float | None:
        """Left from now on, by what is spent; None while no outer step is finished."""
        budget = self.outlook.budget
        if not self.rows or not self.rows[-1].cost > 0:
            return None
        spent = self.rows[-1].cost
        since, rate = budget.spent - spent, sum(row.seconds for row in self.rows) / spent
        ends = [
            max(min(self._cost(steps), budget.limit - spent) - since, 0.0)
            for steps in self._steps()
        ]
        if math.isinf(ends[1]):  # only time ends it
            return budget.seconds_left
        return min(math.sqrt(math.prod(ends)) * rate, budget.seconds_left)

    def _steps(self) -> tuple[float, float]:
        """Fewest and most outer steps to come."""
        outlook = self.outlook
        if outlook.budget.released:
            return 0, 0
        most = max(outlook.outer_steps - len(self.rows), 0)
        if outlook.patience is None:
            return most, most
        failed = itertools.takewhile(lambda row: not row.accepted, reversed(self.rows))
        return min(max(outlook.patience - len(list(failed)), 1), most), most

    def _cost(self, steps: float) -> float:
        """Of so many outer steps and the final comparison, in plain runs, if no budget ends them."""
        first, spent = self.rows[0].cost, self.rows[-1].cost
        return (spent - first / 2) / (len(self.rows) - 0.5) * steps + self.outlook.final
