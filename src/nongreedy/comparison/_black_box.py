"""Black-box searches through Optuna, over the coefficients of the learned schedules."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._extras import missing
from ..engines import Problem
from ..errors import DivergedError
from ..schedules import Schedule, TimeBasis
from ..search import BudgetSpentError, Evaluated
from ..studies._quiet import quiet
from ._meter import Meter
from ._method import Method
from ._ranges import Range, Ranges, draw, each

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

GAUSSIAN = "GPSampler"
MOST_TRIALS = 1000  # Optuna's own time grows with them; only runs that diverge at once get there
FACTOR = 3  # Hyperband's eta: from one rung to the next, and of the trials that go on
_RUNGS = 3  # below a whole run, which is the last: a 27th, a ninth, a third of its steps
_SHORTEST = 2  # steps of a run that still says something

# How much of a run a trial is judged by before it may go on: its loss after all steps, with reports on
# the way; None where Optuna's pruner ends it before.
Fidelity = Callable[["Trial", Schedule, Meter], float | None]


def rungs(problem: Problem) -> dict[int, int]:
    """Resource in Optuna's units (1, 3, 9) -> inner steps, without the whole run.

    The shortest still tells the coefficients of every schedule apart.
    """
    bases = [hyper.basis for hyper in problem.learned.values()]
    sizes = [basis.size(_SHORTEST) for basis in bases if isinstance(basis, TimeBasis)]
    steps, least, count = problem.steps, max([_SHORTEST, *sizes]), _RUNGS
    while count and steps < least * FACTOR**count:
        count -= 1
    return {FACTOR**k: round(steps * FACTOR ** (k - count)) for k in range(count)}


def whole(trial: Trial, schedule: Schedule, meter: Meter) -> float:
    """Every trial is a whole run."""
    del trial
    return meter.train(schedule).loss


def cut(trial: Trial, schedule: Schedule, meter: Meter) -> float | None:
    """One run, whose validation loss is looked at on the way; a pruned one paid for those steps.

    Hyperband's usual form. It judges a schedule by what it has reached half way, where one that is
    still hot looks worse than one that has cooled too early.
    """
    resource = {steps: units for units, steps in rungs(meter.problem).items()}

    def report(done: int, loss: float) -> bool:
        trial.report(loss, resource[done])
        return trial.should_prune()

    outcome = meter.train_reporting(schedule, resource, report)
    return None if outcome is None else outcome.loss


def stretched(trial: Trial, schedule: Schedule, meter: Meter) -> float | None:
    """A run of its own at each rung: the whole schedule, stretched to a 27th, a ninth, a third of the
    steps, then to all of them. What goes on starts anew, so a trial that is never stopped costs 1.48.
    """
    for units, steps in rungs(meter.problem).items():
        trial.report(meter.train_short(schedule, steps), units)
        if trial.should_prune():
            return None
    return meter.train(schedule).loss


@dataclass(frozen=True)
class BlackBox(Method):
    """Trials of an Optuna sampler until the budget is spent. A leaf says where it searches.

    Args:
        sampler: Name of a class in ``optuna.samplers``.
        ranges: Where to search.
        fidelity: How a trial is run; other than `whole` with Optuna's ``HyperbandPruner``.
    """

    sampler: str
    ranges: Ranges
    fidelity: Fidelity

    def refused(self, problem: Problem) -> str | None:
        told = missing("optuna", *(["scipy"] if self.sampler == GAUSSIAN else []))
        return f"it needs {told}" if told else self.ranges.refused(problem)

    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        space, first = self.space(problem, meter)

        def evaluate(trial: Trial) -> float | None:
            return self.fidelity(trial, draw(trial, problem, space), meter)

        run_trials(evaluate, meter, self.sampler, hyperband=self.fidelity is not whole, first=first)
        return meter.choose()

    def space(
        self, problem: Problem, meter: Meter
    ) -> tuple[Mapping[str, Range], Mapping[str, float]]:
        """The range of each coefficient, by its label, and the values of the first trial, if any."""
        del meter
        return each(problem, self.ranges(problem)), {}


def run_trials(
    evaluate: Callable[[Trial], float | None],
    meter: Meter,
    sampler: str = "TPESampler",
    *,
    price: float = 1.0,
    hyperband: bool = False,
    first: Mapping[str, float] | None = None,
) -> Study:
    """Ask and tell, until the budget or the most trials are spent; the same whenever it is repeated.

    A run that diverges costs its steps up to there and is told to Optuna as pruned without a report,
    which TPE counts among the worst (it would ignore a failed one); to a Gaussian process, which
    ignores pruned ones, as infinitely bad, which its sampler takes for the worst loss seen.

    Args:
        evaluate: The loss of a trial; None where it was pruned.
        sampler: Name of a class in ``optuna.samplers``.
        price: What a trial costs, in plain runs.
        hyperband: Whether Optuna's ``HyperbandPruner`` may end trials early.
        first: What Optuna calls each value of the first trial, and the value; else it draws that, too.
    """
    import optuna

    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    with quiet():
        warnings.filterwarnings("ignore", "Clip non-finite values")  # runs that diverged, see above
        if hyperband:
            most = FACTOR ** len(rungs(meter.problem))
            pruner = optuna.pruners.HyperbandPruner(1, most, FACTOR)
        # Hyperband draws a trial's bracket from the study's name.
        study = optuna.create_study(
            sampler=getattr(optuna.samplers, sampler)(seed=meter.seed % 2**32),
            pruner=pruner,
            study_name=str(meter.seed),
        )
        if first:
            study.enqueue_trial(dict(first))
        while meter.affords(price) and len(study.get_trials(deepcopy=False)) < MOST_TRIALS:
            trial = study.ask()
            try:
                loss = evaluate(trial)
            except DivergedError:
                loss = math.inf if sampler == GAUSSIAN else None
            except BudgetSpentError:
                break
            study.tell(trial, loss, optuna.trial.TrialState.PRUNED if loss is None else None)
    return study
