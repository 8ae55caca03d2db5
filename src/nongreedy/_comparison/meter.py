"""One method's account: every gradient it spends, and the best that it has seen for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import NoReturn, final

from torch import Tensor

from .._callback import Callback
from .._engine import Engine, Hypergradient, Reverse, Rollout
from .._engine.base import OnStep, ignore
from .._errors import DivergedError
from .._finalists import rematch
from .._objective import BudgetSpentError, Evaluated, Objective
from .._outer import AgreementSearch
from .._run import Outcome, Run
from .._schedule import Schedule
from .._trajectory import Replay, Trajectory
from .problem import Problem

# Every method's best few meet again on common fresh seeds, as those of the default rule do.
FINALS = AgreementSearch()
PLAIN = Reverse("device")  # only its rollouts are used


class Count(Callback):
    """How many runs were begun, and how many took all of their steps."""

    def __init__(self) -> None:
        self.runs, self.finished, self._is_run = 0, 0, False

    def on_run_start(self, label: str, steps: int) -> None:
        self._is_run = label != "hypergradient"
        self.runs += self._is_run

    def on_inner_step(self, step: int, steps: int) -> None:
        self.finished += self._is_run and step + 1 == steps


class Meter:
    """What one search may spend, counted by an :class:`Objective` as `tune` counts it.

    A plain run costs 1; one that diverges or is stopped costs the share of its steps that it took; a
    shorter one its share of a whole run. Looks at the validation loss cost nothing, for anyone.

    Args:
        problem: What is trained.
        budget: Plain runs' worth of gradients.
        seed: Of the search.
        engine: How a schedule is run.

    Attributes:
        seed: Of the runs that are compared before the final: common random numbers.
        tried: Whole runs that ended: the candidates of the final.
        curve: (cost, best validation loss so far), an entry for each improvement.
        incumbents: (cost, the schedule that it would return if it were stopped), likewise.
        count: Of runs.
    """

    def __init__(self, problem: Problem, budget: float, seed: int, engine: Engine = PLAIN):
        self.problem, self.budget, self._engine, self.count = problem, budget, engine, Count()
        self.objective = self._counting(problem.steps, seed, budget)
        # As in `tune`: at most a quarter of the budget is kept for the final.
        rounds = 2 * FINALS.finalists * FINALS.finalist_seeds
        self.objective.reserve = min(rounds, (budget - 1) / 4)
        self.seed = self.objective.seeds(0, 1)[0]
        self.tried: list[Evaluated] = []
        self.curve: list[tuple[float, float]] = []
        self.incumbents: list[tuple[float, Schedule]] = []

    def _counting(self, steps: int, seed: int, budget: float | None = None) -> Objective:
        problem = self.problem
        return Objective(
            problem.task, problem.optimizer, steps, self._engine, [],
            seed=seed, dtype=problem.dtype, budget=budget, callback=self.count,
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
        self.objective.engine = watched
        try:
            return self.train(schedule)
        except watched.stops:
            self.charge(watched.done / self.problem.steps)
            raise
        finally:
            self.objective.engine = self._engine

    def train_short(self, schedule: Schedule, steps: int) -> float:
        """Validation loss of the same schedule stretched to a shorter run: no candidate."""
        share = steps / self.problem.steps
        if not self.affords(share):
            raise BudgetSpentError(f"{self.cost:.1f} of {self.budget:g} plain runs are spent.")
        short = self._counting(steps, self.objective.seed)
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


@final
class Watched(Engine):
    """Plain runs whose validation loss is told on the way to someone who may stop them, by raising.

    Args:
        looks: After how many steps.
        tell: Called with the steps done and the loss.
        stops: What it raises to stop a run.

    Attributes:
        done: Steps that the present run has taken.
    """

    def __init__(
        self, looks: Collection[int], tell: Callable[[int, float], None], stops: type[Exception]
    ):
        self.looks, self.tell, self.stops, self.done = frozenset(looks), tell, stops, 0

    def trajectory(self, run: Run) -> Trajectory:
        return _Looks(self, run)

    def rollout(
        self, run: Run, schedule: Schedule, *, keep: bool = False, on_step: OnStep = ignore
    ) -> Rollout:
        """Train once, looking."""
        del keep
        return super().rollout(run, schedule, keep=True, on_step=on_step)

    def sweep_cost(self, *_: object) -> NoReturn:
        raise TypeError("A watched run has no hypergradient.")

    def differentiate(self, *_: object) -> Hypergradient:
        raise TypeError("A watched run has no hypergradient.")


class _Looks(Trajectory):
    """Sees every state before its step, and keeps none."""

    def __init__(self, watched: Watched, run: Run):
        self._watched, self._run, watched.done = watched, run, 0

    def append(self, state: Tensor) -> None:
        watched = self._watched
        if watched.done in watched.looks:
            watched.tell(watched.done, self._loss(state))
        watched.done += 1

    def _loss(self, state: Tensor) -> float:
        try:
            return self._run.outer_loss(state[0]).loss
        except DivergedError as error:
            raise DivergedError(error.quantity, self._watched.done, self._run.steps) from error

    def backwards(self, final: Tensor, replay: Replay) -> NoReturn:
        raise TypeError("A watched run keeps no states.")
