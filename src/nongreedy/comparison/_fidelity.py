"""How much of a run a trial is judged by before it may go on."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from ..engines import Outcome
from ..schedules import Schedule
from ._meter import Meter

if TYPE_CHECKING:
    from optuna.trial import Trial

FACTOR = 3  # Hyperband's eta: from one rung to the next, and of the trials that go on
_RUNGS = 3  # below a whole run, which is the last: a 27th, a ninth, a third of its steps
_SHORTEST = 2  # steps of a run that still says something


def rungs(steps: int) -> dict[int, int]:
    """Resource in Optuna's units (1, 3, 9) -> inner steps, without the whole run."""
    count = _RUNGS
    while count and steps < _SHORTEST * FACTOR**count:
        count -= 1
    return {FACTOR**k: round(steps * FACTOR ** (k - count)) for k in range(count)}


class Fidelity(abc.ABC):
    """From a trial and its schedule to the outcome of a whole run, with reports on the way."""

    @abc.abstractmethod
    def evaluate(self, trial: Trial, schedule: Schedule, meter: Meter) -> Outcome:
        """The whole run; raises TrialPruned where Optuna's pruner ends it before."""


@final
@dataclass(frozen=True)
class Whole(Fidelity):
    """Every trial is a whole run."""

    def evaluate(self, trial: Trial, schedule: Schedule, meter: Meter) -> Outcome:
        del trial
        return meter.train(schedule)


@final
@dataclass(frozen=True)
class Cut(Fidelity):
    """One run, whose validation loss is looked at on the way; a pruned one paid for those steps.

    Hyperband's usual form. It judges a schedule by what it has reached half way, where one that is
    still hot looks worse than one that has cooled too early.
    """

    def evaluate(self, trial: Trial, schedule: Schedule, meter: Meter) -> Outcome:
        from optuna import TrialPruned

        resource = {steps: units for units, steps in rungs(meter.problem.steps).items()}

        def report(done: int, loss: float) -> bool:
            trial.report(loss, resource[done])
            return trial.should_prune()

        outcome = meter.train_reporting(schedule, resource, report)
        if outcome is None:
            raise TrialPruned
        return outcome


@final
@dataclass(frozen=True)
class Stretched(Fidelity):
    """A run of its own at each rung: the whole schedule, stretched to a 27th, a ninth, a third of the
    steps, then to all of them. What goes on starts anew, so a trial that is never stopped costs 1.48.
    """

    def evaluate(self, trial: Trial, schedule: Schedule, meter: Meter) -> Outcome:
        from optuna import TrialPruned

        for units, steps in rungs(meter.problem.steps).items():
            trial.report(meter.train_short(schedule, steps), units)
            if trial.should_prune():
                raise TrialPruned
        return meter.train(schedule)
