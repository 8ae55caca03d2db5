"""This library's own searches."""

from dataclasses import dataclass
from typing import final

from .._tune import tune
from ..engines import Problem
from ..errors import DivergedError
from ..optimizers import Optimizer
from ..recipe import extend
from ..schedules import Schedule
from ..search import Callback, Evaluated, OuterStep, Status
from ..search.rules import AgreementSearch, OuterRule, SignDescent
from ..task import Task
from ._meter import Meter
from ._method import Method
from ._practice import grouped, starting


@final
@dataclass(frozen=True)
class Ours(Method):
    """:func:`tune` until the budget is spent or the rule is done.

    Args:
        rule: How schedules are improved: a rule, or its name for `tune`.
        improves: Whether each outer step's schedule is, by the rule's own judgement, no worse than the
            last; otherwise the one with the least loss so far is what it would return.
        from_zero: Start where the rule would, whatever initial values, bounds and coordinates the
            optimizer's bases have.
        learn: What is learned beside them, as in :func:`tune`.
    """

    rule: str | OuterRule
    improves: bool
    from_zero: bool
    learn: str | None = None

    def refused(self, problem: Problem) -> str | None:
        try:
            self.trained(problem)
        except ValueError as error:
            return str(error)
        return grouped(problem) if self.from_zero else None

    def least(self, problem: Problem) -> float:
        """Two outer steps, or the scale: a run, a sweep of about three, a line search."""
        del problem
        return 8.0

    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        try:
            result = tune(
                problem.task,
                _reset(problem) if self.from_zero else problem.optimizer,
                steps=problem.steps,
                engine=meter.engine,
                outer=self.rule,
                learn=self.learn,
                seed=meter.objective.seed,
                budget=meter.limit,
                dtype=problem.dtype,
                study=meter.memory,
                callbacks=[meter.callback, _Curve(meter, self.improves)],
                progress=False,
            )
        except DivergedError:
            # What it came to is not known: all of it.
            meter.charge(meter.limit, runs=1, unfinished=1)
            return None
        if result.status is Status.interrupted:
            raise KeyboardInterrupt
        meter.charge(result.cost, result.runs, result.unfinished)
        return Evaluated(
            result.schedule,
            {meter.seed: result.validation_loss},
            {meter.seed: result.validation_accuracy},
            {meter.seed: result.validation_metrics},
        )

    def trained(self, problem: Problem) -> tuple[Task, Optimizer]:
        if self.learn is None:
            return super().trained(problem)
        task, optimizer = extend(problem.task, problem.optimizer, self.learn, steps=problem.steps)
        return task, optimizer


_WHAT = "hypergradients of whole runs, "
DEFAULT = Ours(_WHAT + "the default rule", "auto", improves=True, from_zero=False)
RECIPE = Ours(
    _WHAT + "the default rule, over a recipe beside the schedule", "auto", improves=True,
    from_zero=False, learn="recipe",
)  # fmt: skip
AGREEMENT = Ours(_WHAT + "AgreementSearch", AgreementSearch(), improves=True, from_zero=False)
PAPER = Ours(_WHAT + "the paper's rule from zero", SignDescent(), improves=False, from_zero=True)


def _reset(problem: Problem) -> Optimizer:
    """Every basis with the fields of a new one."""
    names = problem.learned
    return starting(
        problem.optimizer, initial=dict.fromkeys(names), bounds=dict.fromkeys(names),
        transform=dict.fromkeys(names, "default"), outer_step=dict.fromkeys(names),
    )  # fmt: skip


class _Curve(Callback):
    """The validation loss and the schedule of each outer step, when it was paid for."""

    def __init__(self, meter: Meter, improves: bool):
        self._meter, self._improves = meter, improves

    def on_schedule(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def on_outer_step(self, row: OuterStep) -> None:
        better = self._meter.saw(row.validation_loss, row.cost)
        if better or (self._improves and row.accepted):
            self._meter.incumbent(self._schedule, row.cost)
