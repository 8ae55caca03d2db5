"""What an outer rule may ask for: plain runs and hypergradients, each counted."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from ._callback import Callback
from ._engine import Engine, Hypergradient, Rollout
from ._errors import DivergedError, NongreedyError
from ._optimizer import Optimizer
from ._plan import mix
from ._run import Run
from ._schedule import Schedule
from ._task import Task


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
    ):
        self.task, self.optimizer, self.steps, self.engine = task, optimizer, steps, engine
        self.learn, self.seed, self.dtype, self.budget = learn, seed, dtype, budget
        self.callback = callback or Callback()
        self.cost, self.reserve = 0.0, 0.0
        self.evaluated: dict[tuple[object, ...], Evaluated] = {}

    def seeds(self, stream: int, count: int) -> list[int]:
        """Fresh run seeds, the same for every schedule that is compared under `stream`."""
        return [mix(self.seed, stream, index) for index in range(count)]

    def rollout(self, schedule: Schedule, seed: int, keep: bool = False) -> Rollout:
        """Train once; raises DivergedError or BudgetSpentError."""
        self._afford(1.0)
        run = Run(self.task, self.optimizer, self.steps, seed, self.dtype)
        try:
            done = self.engine.rollout(run, schedule, keep=keep, on_step=self._watch("plain run"))
        except DivergedError as error:
            self.cost += (error.step + 1) / (self.steps + 1)
            raise
        self.cost += 1.0
        record = self.evaluated.setdefault(_key(schedule), Evaluated(schedule))
        record.losses[seed] = done.outcome.loss
        record.accuracies[seed] = done.outcome.accuracy
        return done

    def differentiate(self, rollout: Rollout) -> Hypergradient:
        """The hypergradient at a kept rollout; raises DivergedError or BudgetSpentError."""
        price = self.engine.sweep_cost(rollout.run, rollout.schedule, self.learn)
        self._afford(price)
        self.cost += price
        watch, count = self._watch("hypergradient"), itertools.count(1)

        def on_step(step: int) -> None:
            next(count)
            watch(step)

        try:
            return self.engine.differentiate(rollout, self.learn, on_step)
        except DivergedError:  # only what was swept was spent
            self.cost -= price * max(0.0, 1 - next(count) / (self.steps + 1))
            raise

    def _afford(self, price: float) -> None:
        if self.budget is not None and self.cost + price > self.budget - self.reserve:
            raise BudgetSpentError(
                f"{self.cost:.1f} of {self.budget:g} plain runs are spent; {price:.1f} more and "
                f"{self.reserve:g} for the final comparison do not fit."
            )

    def _watch(self, label: str) -> Callable[[int], None]:
        self.callback.on_run_start(label, self.steps)
        count = itertools.count()
        return lambda _: self.callback.on_inner_step(next(count) % self.steps, self.steps)


def _key(schedule: Schedule) -> tuple[object, ...]:
    return tuple(
        (name, curve.basis.kind, curve.edges, curve.coefficients.numpy().tobytes())
        for name, curve in schedule.curves.items()
    )
