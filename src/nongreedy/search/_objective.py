"""What an outer rule may ask for: plain runs and hypergradients, each counted."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, field

import torch

from ..engines import Engine, Hypergradient, Rollout, Run
from ..engines._watch import Watch
from ..errors import DivergedError, NongreedyError, ReplayError
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..task import Task
from ..task._data_plan import mix
from ._callback import Callback
from ._memory import Memory, Ran, Request


class BudgetSpentError(NongreedyError):
    """The next run or sweep would exceed the budget."""


@dataclass
class Evaluated:
    """A schedule that was run, and its outcome for each seed."""

    schedule: Schedule
    losses: dict[int, float] = field(default_factory=dict)
    accuracies: dict[int, float | None] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Mean validation loss over its seeds."""
        return statistics.fmean(self.losses.values())

    @property
    def accuracy(self) -> float | None:
        """Mean validation accuracy over its seeds, or None."""
        known = [value for value in self.accuracies.values() if value is not None]
        return statistics.fmean(known) if known else None


class Objective:
    """Runs and differentiates schedules of one task; counts the cost; remembers what was run.

    Attributes:
        cost: Plain training runs' worth of gradients spent so far.
        evaluated: Every schedule that finished at least one run.
    """

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        steps: int,
        engine: Engine,
        learn: list[str],
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        budget: float | None = None,
        callback: Callback | None = None,
        memory: Memory | None = None,
    ):
        self.task, self.optimizer, self.steps, self.engine = task, optimizer, steps, engine
        self.learn, self.seed, self.dtype, self.budget = learn, seed, dtype, budget
        self.callback, self.memory = callback or Callback(), memory or Memory()
        self.cost, self.reserve = 0.0, 0.0
        self.evaluated: dict[tuple[object, ...], Evaluated] = {}

    def seeds(self, stream: int, count: int) -> list[int]:
        """Fresh run seeds, the same for every schedule that is compared under `stream`."""
        return [mix(self.seed, stream, index) for index in range(count)]

    def rollout(self, schedule: Schedule, seed: int, keep: bool = False) -> Rollout:
        """Train once; raises DivergedError or BudgetSpentError.

        A run that is remembered is not repeated, and its rollout has no states: `differentiate`
        repeats it then, unless the sweep is remembered, too. It costs the same, so that a search
        that goes on after a kill spends what an undisturbed one spends.
        """
        self._afford(1.0)
        run = Run(self.task, self.optimizer, self.steps, seed, self.dtype)
        request = Request("run", schedule, seed)
        try:
            done = self._recalled(run, request) or self._trained(run, request, keep)
        except DivergedError as error:
            self.cost += error.share
            raise
        self.cost += 1.0
        record = self.evaluated.setdefault(schedule.identity, Evaluated(schedule))
        record.losses[seed] = done.outcome.loss
        record.accuracies[seed] = done.outcome.accuracy
        return done

    def _recalled(self, run: Run, request: Request) -> Rollout | None:
        known = self.memory.recall(request)
        if isinstance(known, DivergedError):
            raise known
        if not isinstance(known, Ran):
            return None
        return Rollout(run, request.schedule, {}, known.outcome, list(known.losses), torch.empty(0))

    def _trained(self, run: Run, request: Request, keep: bool) -> Rollout:
        watch = self._watch("plain run", request)
        try:
            done = self.engine.rollout(run, request.schedule, keep=keep, on_step=watch)
        except DivergedError as error:
            self.memory.remember(request, error)
            raise
        self.memory.remember(request, Ran(done.outcome, tuple(done.losses)))
        return done

    def differentiate(self, rollout: Rollout) -> Hypergradient:
        """The hypergradient at a kept rollout; raises DivergedError or BudgetSpentError."""
        price = self.engine.sweep_cost(rollout.run, rollout.schedule, self.learn)
        self._afford(price)
        self.cost += price
        request = Request("sweep", rollout.schedule, rollout.run.seed, tuple(self.learn))
        known = self.memory.recall(request)
        if isinstance(known, Hypergradient):
            return known
        try:
            if isinstance(known, DivergedError):
                raise known
            return self._swept(rollout, request)
        except DivergedError as error:  # only what was swept was spent
            self.cost -= price * (1 - _share(error))
            raise

    def _swept(self, rollout: Rollout, request: Request) -> Hypergradient:
        complete = bool(rollout.values) or not self.engine.needs_states
        kept = rollout if complete else self._repeated(rollout)
        try:
            found = self.engine.differentiate(
                kept, self.learn, self._watch("hypergradient", request)
            )
        except DivergedError as error:
            self.memory.remember(request, error)
            raise
        self.memory.remember(request, found)
        return found

    def _repeated(self, rollout: Rollout) -> Rollout:
        """A remembered run once more, for its states; another outcome would make all that follows
        another search."""
        watch = self._watch("plain run, for its states")
        again = self.engine.rollout(rollout.run, rollout.schedule, keep=True, on_step=watch)
        if again.outcome != rollout.outcome:
            raise ReplayError(
                f"A run of this study came to a validation loss of {rollout.outcome.loss!r} before "
                f"and to {again.outcome.loss!r} now, with the same seed and schedule. Go on where it "
                "began: on that machine, with the same data, versions and number of threads."
            )
        return again

    def _afford(self, price: float) -> None:
        if self.budget is not None and self.cost + price > self.budget - self.reserve:
            raise BudgetSpentError(
                f"{self.cost:.1f} of {self.budget:g} plain runs are spent; {price:.1f} more and "
                f"{self.reserve:g} for the final comparison do not fit."
            )

    def _watch(self, label: str, request: Request | None = None) -> Watch:
        self.callback.on_run_start(label, self.steps)
        count = itertools.count()
        watch = Watch(lambda _: self.callback.on_inner_step(next(count) % self.steps, self.steps))
        return self.memory.watch(request, watch) if request is not None else watch


def _share(error: DivergedError) -> float:
    """Which part of a sweep was computed before it ended: backwards, forward, or nobody knows."""
    done = {"adjoint": error.steps - error.step, "tangent": error.step + 1}
    kind = error.quantity.partition(" ")[0]
    return min(1.0, done.get(kind, error.steps + 1) / (error.steps + 1))
