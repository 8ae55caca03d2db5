"""One method's account: every gradient it spends, and the best that it has seen for it."""

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..engines import Engine, Outcome, Problem, Runner
from ..engines._progress import OnState
from ..errors import DivergedError
from ..schedules import Schedule
from ..schedules._files import plain
from ..search import Budget, Callback, Evaluated, Memory, Objective, Request
from ..search._finalists import rematch
from ..search.rules import AgreementSearch

# Every method's best few meet again on common fresh seeds, as those of the default rule do.
FINALS = AgreementSearch()


class _StoppedError(Exception):
    """A run was stopped on the way."""


class Meter:
    """What one search may spend, counted by an :class:`Objective` as `tune` counts it.

    A plain run costs 1; one that diverges or is stopped costs the share of its steps that it took; a
    shorter one its share of a whole run. Reported validation losses cost nothing, for anyone.

    Args:
        problem: What is trained.
        budget: Plain runs' worth of gradients.
        seed: Of the search.
        runner: How a schedule is run.
        engine: Of hypergradients, for who wants some.
        memory: Of what this search was told before a kill.
        callback: Who watches.

    Attributes:
        seed: Of the runs that are compared before the final: common random numbers.
        tried: Whole runs that ended: the candidates of the final.
        curve: (cost, best validation loss so far), an entry for each improvement.
        incumbents: (cost, the schedule that it would return if it were stopped), likewise.
        runs, unfinished: Runs that were begun, and those that diverged or were stopped.
    """

    def __init__(
        self,
        problem: Problem,
        budget: float,
        seed: int,
        runner: Runner | None = None,
        engine: str | Engine = "auto",
        memory: Memory | None = None,
        callback: Callback | None = None,
    ):
        self.problem, self.engine, self.limit = problem, engine, budget
        self.memory, self.callback = memory or Memory(), callback or Callback()
        self.objective = Objective(
            problem, runner or Runner(), seed=seed, budget=Budget(budget, FINALS.final),
            callback=self.callback, memory=self.memory,
        )  # fmt: skip
        self.seed = self.objective.seeds(0, 1)[0]
        self.tried: list[Evaluated] = []
        self.curve: list[tuple[float, float]] = []
        self.incumbents: list[tuple[float, Schedule]] = []
        self.runs, self.unfinished = 0, 0

    @property
    def cost(self) -> float:
        """Plain runs' worth of gradients spent."""
        return self.objective.cost

    def affords(self, price: float = 1.0) -> bool:
        """Whether this much may be spent before the final."""
        return self.objective.budget.affords(price)

    def charge(self, price: float, runs: int = 0, unfinished: int = 0) -> None:
        """Count gradients that were computed elsewhere, and the runs that they were of."""
        self.objective.budget.spend(price)
        self.runs, self.unfinished = self.runs + runs, self.unfinished + unfinished

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

    def train(self, schedule: Schedule, on_state: OnState | None = None) -> Outcome:
        """A whole run; raises DivergedError or BudgetSpentError."""
        with self._counting(self.objective):
            outcome = self.objective.rollout(schedule, self.seed, on_state=on_state).outcome
        self.candidate(schedule, outcome.loss, outcome.accuracy)
        return outcome

    @contextmanager
    def _counting(self, objective: Objective) -> Iterator[None]:
        runs, finished = objective.runs, objective.finished
        try:
            yield
        finally:
            begun = objective.runs - runs
            self.runs += begun
            self.unfinished += begun - (objective.finished - finished)

    def train_reporting(
        self, schedule: Schedule, after: Collection[int], report: Callable[[int, float], bool]
    ) -> Outcome | None:
        """Likewise, with its validation loss reported on the way; None where `report` stopped it.

        A stopped run costs the steps that it took. Of a remembered run the same losses are reported
        again, so that who hears them decides as before.

        Args:
            after: Numbers of steps at which to report.
            report: Told the steps done and the loss; True stops the run.
        """
        steps, told = self.problem.steps, 0
        key = Request("run", schedule, self.seed, steps).key

        def record(done: int) -> str:
            return f"loss of {key} after {done}"

        def tell(done: int, loss: float) -> None:
            nonlocal told
            told = done
            if report(done, loss):
                raise _StoppedError

        def on_state(done: int, state: Tensor) -> None:
            if done in after and done > told:
                tell(done, self.once(record(done), lambda: self._loss(state, done)))

        runs = self.runs
        try:
            for done in sorted(after):
                if (known := self.memory.noted(record(done))) is None:
                    break
                tell(done, known)
            return self.train(schedule, on_state)
        except _StoppedError:
            again = int(self.runs == runs)  # it was only told of, and is counted here
            self.charge(told / steps, runs=again, unfinished=again)
            return None

    def _loss(self, state: Tensor, done: int) -> float:
        try:
            return self.problem.run(self.seed).ended(state).loss
        except DivergedError as error:
            raise DivergedError(error.quantity, done, self.problem.steps) from error

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
        self.objective.budget.check(share)
        short = Objective(
            self.problem.shortened(steps), self.objective.runner, seed=self.objective.seed,
            callback=self.callback, memory=self.memory,
        )  # fmt: skip
        try:
            with self._counting(short):
                return short.rollout(schedule, self.seed).outcome.loss
        finally:
            self.charge(short.cost * share)

    def choose(self) -> Evaluated | None:
        """The best candidate: the top few meet again on common fresh seeds while budget is left."""
        if not self.tried:
            return None
        self.objective.budget.release()
        with self._counting(self.objective):
            return rematch(FINALS, self.objective, sorted(self.tried, key=lambda e: e.loss))
