"""Hypergradient descent: hyperparameters that follow one-step hypergradients during the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from .._extras import missing
from ..engines import Greedy, Problem
from ..errors import DivergedError
from ..schedules import Schedule
from ..search import Evaluated
from ..training import train_online
from ._black_box import run_trials
from ._meter import Meter
from ._method import Method
from ._practice import grouped, over_time, starting
from ._ranges import Ranges

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

    Source: arXiv:1703.04782 (:cite:`baydin2018online`).
    """

    def refused(self, problem: Problem) -> str | None:
        if problem.task.initialize is not None and problem.task.learnable:
            return "an online run cannot change its own initialization"
        if told := missing("optuna"):
            return f"it needs {told}"
        return grouped(problem) or over_time(problem) or Ranges().refused(problem)

    def least(self, problem: Problem) -> float:
        """Three runs, a quarter of the budget being kept for the final."""
        return 4 * self.price(problem)

    def price(self, problem: Problem) -> float:
        """Of one run, its looks included."""
        return _engine(problem).sweep_cost(problem.run(), problem.initial, problem.learned)

    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        ranges, price = Ranges()(problem), self.price(problem)
        own = [name for name in problem.learned if name in problem.optimizer.given()]

        def evaluate(trial: Trial) -> float | None:
            start = {name: ranges[name].draw(trial, name) for name in own}
            rate = trial.suggest_float("outer learning rate", *RATES, log=True)
            ended = meter.once(
                f"online run {trial.number}", lambda: _trained(problem, meter, start, rate)
            )
            if "share" in ended:
                meter.charge(price * min(1.0, ended["share"]), runs=1, unfinished=1)
                return None
            meter.charge(ended["cost"], runs=1)
            meter.candidate(Schedule.from_json(ended["schedule"]), ended["loss"], ended["accuracy"])
            return ended["loss"]

        run_trials(evaluate, meter, price=price)
        return meter.choose()


def _trained(
    problem: Problem, meter: Meter, start: Mapping[str, float], rate: float
) -> dict[str, Any]:
    """One online run: its end, or which share of it came before it diverged."""
    try:
        result = train_online(
            problem.task,
            starting(problem.optimizer, initial=start),
            steps=problem.steps,
            engine=_engine(problem),
            outer_learning_rate=rate,
            seed=meter.seed,
            dtype=problem.dtype,
            callbacks=[meter.callback],
        )
    except DivergedError as error:
        return {"share": error.share}
    return {
        "schedule": result.schedule.to_json(),
        "loss": result.validation_loss,
        "accuracy": result.validation_accuracy,
        "cost": result.cost,
    }


def _engine(problem: Problem) -> Greedy:
    return Greedy(batch=min(problem.task.batch_size, problem.task.validation.count))
