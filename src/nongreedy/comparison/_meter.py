"""One method's account: every gradient it spends, and the best that it has seen for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..engines import Engine, Outcome, Reverse
from ..schedules import Schedule
from ..schedules._files import plain
from ..search import BudgetSpentError, Callback, Evaluated, Memory, Objective, Request
from ..search._finalists import rematch
from ..search.rules import AgreementSearch
from ._problem import Problem
from ._unfinished import Count, Counted
from ._watched import Looked, Watched

# Every method's best few meet again on common fresh seeds, as those of the default rule do.
FINALS = AgreementSearch()
PLAIN = Reverse("device")  # only its rollouts are used


class Meter:
    """What one search may spend, counted by an :class:`Objective` as `tune` counts it.

    A plain run costs 1; one that diverges or is stopped costs the share of its steps that it took; a
    shorter one its share of a whole run. Looks at the validation loss cost nothing, for anyone.

    Args:
        problem: What is trained.
        budget: Plain runs' worth of gradients.
        seed: Of the search.
        engine: How a schedule is run.
        memory: Of what this search was told before a kill.
        callback: Who watches.

    Attributes:
        seed: Of the runs that are compared before the final: common random numbers.
        tried: Whole runs that ended: the candidates of the final.
        curve: (cost, best validation loss so far), an entry for each improvement.
        incumbents: (cost, the schedule that it would return if it were stopped), likewise.
        count: Of runs.
    """

    def __init__(
        self,
        problem: Problem,
        budget: float,
        seed: int,
        engine: Engine = PLAIN,
        memory: Memory | None = None,
        callback: Callback | None = None,
    ):
        self.problem, self.budget, self._engine, self.count = problem, budget, engine, Count()
        self.memory = Counted(memory or Memory(), self.count)
        self.callback = callback or Callback()
        self.objective = self._counting(problem.steps, seed, self.memory, budget)
        # As in `tune`: at most a quarter of the budget is kept for the final.
        rounds = 2 * FINALS.finalists * FINALS.finalist_seeds
        self.objective.reserve = min(rounds, (budget - 1) / 4)
        self.seed = self.objective.seeds(0, 1)[0]
        self.tried: list[Evaluated] = []
        self.curve: list[tuple[float, float]] = []
        self.incumbents: list[tuple[float, Schedule]] = []

    def _counting(
        self, steps: int, seed: int, memory: Memory, budget: float | None = None
    ) -> Objective:
        problem = self.problem
        return Objective(
            problem.task, problem.optimizer, steps, self._engine, [],
            seed=seed, dtype=problem.dtype, budget=budget, callback=self.callback, memory=memory,
        )  # fmt: skip

    @property
    def cost(self) -> float:
        """Plain runs' worth of gradients spent."""
        return self.objective.cost

    def affords(self, price: float = 1.0) -> bool:
        """Whether this much may be spent before the final."""
        return self.cost + price <= self.budget - self.objective.reserve

    def charge(self, price: float) -> None:
        """Count gradients that were computed elsewhere."""
        self.objective.cost += price

    def saw(self, loss: float, cost: float | None = None) -> bool:
        """Note a validation loss, for the curve; whether it is the best so far."""
        better = loss < (self.curve[-1][1] if self.curve else math.inf)
        if better:
            self.curve.append((self.cost if cost is None else cost, loss))
        return better

    def incumbent(self, schedule: Schedule, cost: float | None = None) -> None:
        """Note what would be returned from here on."""
        self.incumbents.append((self.cost if cost is None else cost, schedule))

    def candidate(self, schedule: Schedule, loss: float, accuracy: float | None) -> None:
        """A whole run that ended like this: it may win."""
        self.tried.append(Evaluated(schedule, {self.seed: loss}, {self.seed: accuracy}))
        if self.saw(loss):
            self.incumbent(schedule)

    def train(self, schedule: Schedule) -> Outcome:
        """A whole run; raises DivergedError or BudgetSpentError."""
        outcome = self.objective.rollout(schedule, self.seed).outcome
        self.candidate(schedule, outcome.loss, outcome.accuracy)
        return outcome

    def train_watched(self, schedule: Schedule, watched: Watched) -> Outcome:
        """Likewise; what `watched` raises ends the run, which then costs the steps that it took."""
        looked = Looked(self.memory, watched)
        self.objective.engine, self.objective.memory = watched, looked
        try:
            return self.train(schedule)
        except watched.stops:
            looked.stopped(Request("run", schedule, self.seed))
            self.count.runs += 1
            self.charge(watched.done / self.problem.steps)
            raise
        finally:
            self.objective.engine, self.objective.memory = self._engine, self.memory

    def once(self, name: str, compute: Callable[[], Any]) -> Any:
        """What `compute` returned when this search was first here, as :func:`plain` JSON."""
        known = self.memory.noted(name)
        if known is None:
            known = plain(compute())
            self.memory.note(name, known)
        return known

    def train_short(self, schedule: Schedule, steps: int) -> float:
        """Validation loss of the same schedule stretched to a shorter run: no candidate."""
        share = steps / self.problem.steps
        if not self.affords(share):
            raise BudgetSpentError(f"{self.cost:.1f} of {self.budget:g} plain runs are spent.")
        memory = Counted(self.memory.memory, self.count, steps)
        short = self._counting(steps, self.objective.seed, memory)
        try:
            return short.rollout(schedule, self.seed).outcome.loss
        finally:
            self.charge(short.cost * share)

    def choose(self) -> Evaluated | None:
        """The best candidate: the top few meet again on common fresh seeds while budget is left."""
        if not self.tried:
            return None
        self.objective.reserve = 0.0
        return rematch(FINALS, self.objective, sorted(self.tried, key=lambda entry: entry.loss))
