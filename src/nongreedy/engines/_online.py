"""What an engine offers that can also be followed while a run goes on."""

import abc
from collections.abc import Iterable

from ..schedules import Schedule
from ._adjoint import AdjointSums
from ._engine import Hypergradient
from ._forward import TangentEngine
from ._losses import Losses
from ._probes import Probes
from ._progress import OnStep
from ._run import Run, at
from ._sensitivity import Sensitivity


class OnlineEngine(TangentEngine):
    """An engine that has something to say at every probe of the validation loss, before the run has ended."""

    @property
    def probes_before(self) -> bool:
        """Whether a step's state is probed before it is taken, with the values that then move."""
        return False

    @abc.abstractmethod
    def probes(self, run: Run) -> Probes:
        """When and on what this run's validation loss is probed."""

    @abc.abstractmethod
    def sensitivity(self, run: Run, learn: Iterable[str]) -> Sensitivity:
        """What goes along with a run to be asked at each probe; ValueError for what it cannot."""


def probed_along(
    engine: OnlineEngine, run: Run, schedule: Schedule, learn: list[str], on_step: OnStep
) -> Hypergradient:
    """Train once under a schedule, and add up what each probe says of its own step's values."""
    probes, sensitivity = engine.probes(run), engine.sensitivity(run, learn)
    sums, losses = AdjointSums(schedule, learn, run.steps), Losses(run)
    probes.readings = losses.readings
    values = run.values(schedule)
    state = run.initial(at(values, 0))
    with run.isolated(), losses.first():
        for t in range(run.steps):
            now = at(values, t)
            before, state = state, sensitivity.advance(state, now, t)
            if sensitivity.loss is not None:
                losses.add(t, before, now, sensitivity.loss)
            if probes.after(t):
                probed = before if engine.probes_before else state
                sums.add(sensitivity.look(probes, probed, now, t)[1], t, losses.readings)
            on_step(t)
        losses.read()
        outcome = run.ended(state)
    return Hypergradient(outcome.loss, outcome.accuracy, sums.gradients(), sums.per_step)
