"""What an engine offers that can also be followed while a run goes on."""

from __future__ import annotations

import abc
from collections.abc import Iterable

from ..schedules import Schedule
from ._adjoint import AdjointSums
from ._engine import Hypergradient
from ._forward import TangentEngine
from ._looks import Looks
from ._progress import OnStep
from ._run import Run, at
from ._sensitivity import Sensitivity


class OnlineEngine(TangentEngine):
    """An engine that has something to say at every look, before the run has ended."""

    @property
    def looks_first(self) -> bool:
        """Whether a step is looked at before it is taken, and then has the values that moved."""
        return False

    @abc.abstractmethod
    def looks(self, run: Run) -> Looks:
        """When and on what this run's validation loss is looked at."""

    @abc.abstractmethod
    def sensitivity(self, run: Run, learn: Iterable[str]) -> Sensitivity:
        """What goes along with a run to be asked at each look; ValueError for what it cannot."""


def look_along(
    engine: OnlineEngine, run: Run, schedule: Schedule, learn: list[str], on_step: OnStep
) -> Hypergradient:
    """Train once under a schedule, and add up what each look says of its own step's values."""
    looks, sensitivity = engine.looks(run), engine.sensitivity(run, learn)
    sums = AdjointSums(schedule, learn, run.steps)
    values = run.values(schedule)
    state = run.initial(at(values, 0))
    with run.isolated():
        for t in range(run.steps):
            now = at(values, t)
            before, state = state, sensitivity.advance(state, now, t)
            if looks.after(t):
                seen = before if engine.looks_first else state
                sums.add(sensitivity.look(looks, seen, now, t)[1], t)
            on_step(t)
        outcome = run.outer_loss(state[0])
    return Hypergradient(outcome.loss, outcome.accuracy, sums.gradients(), sums.per_step)
