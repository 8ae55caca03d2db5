"""Hypergradient descent: hyperparameters that follow one-step hypergradients during the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from .._engine import Greedy
from .._errors import DivergedError
from .._objective import Evaluated
from .._online import train_online
from .._optuna_quiet import quiet
from .._run import Run
from .._schedule import Schedule
from .black_box import run_trials, seeded
from .meter import Meter
from .method import Method
from .problem import Problem
from .ranges import Ranges

if TYPE_CHECKING:
    from optuna.trial import Trial

RATES = (1e-2, 1e2)  # outer learning rates, in units of each hyperparameter's coordinate


@final
@dataclass(frozen=True)
class HypergradientDescent(Method):
    """:func:`train_online` with :class:`Greedy`, its settings tuned by TPE within the same budget.

    Tuned are the outer learning rate and where each learned hyperparameter of the optimizer starts,
    in the ranges of the black-box methods. Each step looks at a validation batch as large as a
    training batch, so that one run costs two plain runs. The values that were followed, step by step,
    are the schedule; the final compares them by plain runs.
    """

    def refused(self, problem: Problem) -> str | None:
        if problem.task.initialize is not None and problem.task.learnable:
            return "an online run cannot change its own initialization"
        return problem.grouped() or problem.over_time() or Ranges().refused(problem)

    def least(self, problem: Problem) -> float:
        """Three runs, a quarter of the budget being kept for the final."""
        return 4 * self.price(problem)

    def price(self, problem: Problem) -> float:
        """Of one run, its looks included."""
        run = Run(problem.task, problem.optimizer, problem.steps, dtype=problem.dtype)
        start = Schedule.initial(problem.hyperparameters)
        return _engine(problem).sweep_cost(run, start, problem.learned)

    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        ranges, price = Ranges()(problem), self.price(problem)
        own = [name for name in problem.learned if name in problem.optimizer.given()]

        def evaluate(trial: Trial) -> float:
            start = {name: ranges[name].draw(trial, name) for name in own}
            rate = trial.suggest_float("outer learning rate", *RATES, log=True)
            try:
                result = train_online(
                    problem.task,
                    problem.starting(initial=start),
                    steps=problem.steps,
                    engine=_engine(problem),
                    outer_learning_rate=rate,
                    seed=meter.seed,
                    dtype=problem.dtype,
                    callbacks=[meter.count],
                )
            except DivergedError as error:
                meter.charge(price * min(1.0, error.share))
                raise
            meter.charge(result.cost)
            meter.candidate(result.schedule, result.validation_loss, result.validation_accuracy)
            return result.validation_loss

        with quiet():
            import optuna

            study = optuna.create_study(sampler=seeded("TPESampler", meter))
            run_trials(study, evaluate, lambda: meter.affords(price))
        return meter.choose()


def _engine(problem: Problem) -> Greedy:
    return Greedy(batch=min(problem.task.batch_size, problem.task.validation.count))
