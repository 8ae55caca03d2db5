"""Black-box searches through Optuna, over the coefficients of the learned schedules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from ..engines import Problem
from ..errors import DivergedError
from ..search import BudgetSpentError, Evaluated
from ..studies._quiet import quiet
from ._fidelity import FACTOR, Fidelity, Whole, rungs
from ._meter import Meter
from ._method import Method
from ._ranges import Ranges, draw

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import Trial

MOST_TRIALS = 1000  # Optuna's own time grows with them; only runs that diverge at once get there


@final
@dataclass(frozen=True)
class BlackBox(Method):
    """Trials of an Optuna sampler until the budget is spent.

    A run that diverges costs its steps up to there and is told to Optuna as pruned without a report,
    which TPE counts among the worst (it would ignore a failed one).

    Args:
        sampler: Name of a class in ``optuna.samplers``.
        ranges: Where to search.
        fidelity: How a trial is run; other than `Whole` with Optuna's ``HyperbandPruner``.
    """

    sampler: str
    ranges: Ranges
    fidelity: Fidelity

    def refused(self, problem: Problem) -> str | None:
        return self.ranges.refused(problem)

    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        ranges = self.ranges(problem)

        def evaluate(trial: Trial) -> float:
            return self.fidelity.evaluate(trial, draw(trial, problem, ranges), meter).loss

        with quiet():
            run_trials(self._study(problem, meter), evaluate, lambda: meter.affords())
        return meter.choose()

    def _study(self, problem: Problem, meter: Meter) -> Study:
        import optuna

        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if not isinstance(self.fidelity, Whole):
            whole = FACTOR ** len(rungs(problem.steps))
            pruner = optuna.pruners.HyperbandPruner(1, whole, FACTOR)
        # Hyperband draws a trial's bracket from the study's name.
        return optuna.create_study(
            sampler=seeded(self.sampler, meter), pruner=pruner, study_name=str(meter.seed)
        )


def seeded(sampler: str, meter: Meter) -> BaseSampler:
    """An Optuna sampler that draws the same whenever this search is repeated."""
    import optuna

    return getattr(optuna.samplers, sampler)(seed=meter.seed % 2**32)


def run_trials(
    study: Study, evaluate: Callable[[Trial], float], affords: Callable[[], bool]
) -> None:
    """Ask and tell, until the budget or the most trials are spent."""
    from optuna import TrialPruned
    from optuna.trial import TrialState

    while affords() and len(study.get_trials(deepcopy=False)) < MOST_TRIALS:
        trial = study.ask()
        try:
            study.tell(trial, evaluate(trial))
        except (TrialPruned, DivergedError):
            study.tell(trial, state=TrialState.PRUNED)
        except BudgetSpentError:
            study.tell(trial, state=TrialState.FAIL)
            return
