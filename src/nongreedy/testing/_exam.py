"""An exam: one small run, judged once by finite differences, put to any number of engines."""

import functools
import math

import torch

from ..engines import Engine, FiniteDifference, Hypergradient, Outcome, Run
from ..optimizers import Optimizer
from ..schedules import Basis, Schedule
from ._cell import Cell, Finding, Grade
from ._judge import TOLERANCE, Judge, Slopes
from ._tasks import HYPERPARAMETERS, STEPS, tiny_task

OWNERS = ("optimizer", "task")
SEED = 6
SCORE = 5.0  # standard errors that no estimate in the table may be off
# Variables such as weights of examples are no scale of anything: differences of a common width.
JUDGES = {"optimizer": Judge(), "task": Judge(FiniteDifference(1e-4, 4, floor=0.1), entrywise=2)}


class Exam:
    """A run of five steps, and its derivative by one owner's hyperparameters, all at once.

    Args:
        optimizer: With a basis for everything that is to be checked.
        model: A name in `MODELS` or `EDGE_MODELS`.
        owner: ``"optimizer"``: a plain task, and the optimizer's settings are differentiated.
            ``"task"``: the task has everything in `HYPERPARAMETERS`, which is differentiated.
        judge: Finite differences; None is the table's own for this owner.
    """

    def __init__(self, optimizer: Optimizer, model: str, owner: str, judge: Judge | None = None):
        task = tiny_task(model, HYPERPARAMETERS if owner == "task" else ())
        settings = optimizer.hyperparameters(STEPS)
        self.judge, self.optimizer, self.owner = judge or JUDGES[owner], optimizer, owner
        self.schedule = Schedule.initial({**settings, **task.hyperparameters(STEPS)})
        self.run = Run(task, optimizer, STEPS, SEED, torch.float64)
        self.names = list(optimizer.learnable) if owner == "optimizer" else list(HYPERPARAMETERS)
        self.learn = [name for name in self.names if owner == "task" or settings[name].learned]
        self._slopes: dict[str, Slopes] = {}
        self._answers: dict[int, tuple[Engine, Hypergradient | str]] = {}

    @functools.cached_property
    def outcome(self) -> Outcome:
        """How the run ends, by the judge."""
        return self.judge.differences.rollout(self.run, self.schedule).outcome

    def slopes(self, name: str) -> Slopes:
        """What the judge says of a hyperparameter."""
        if name not in self._slopes:
            self._slopes[name] = self.judge.slopes(self.run, self.schedule, name)
        return self._slopes[name]

    def answer(self, engine: Engine) -> Hypergradient | str:
        """What an engine says of all of them, or the reason for not asking it."""
        if id(engine) not in self._answers:
            # The engine is kept with its answer, so that no other one can have its id.
            self._answers[id(engine)] = engine, self._computed(engine)
        return self._answers[id(engine)][1]

    def _computed(self, engine: Engine) -> Hypergradient | str:
        reason = engine.inexact_because(self.run, self.schedule, self.learn)
        if reason is not None and not engine.estimates:
            return reason
        if reason is not None and self.owner == "task":
            # Along directions it has no standard error: its entries are not independent.
            return f"{reason}, which is checked on the optimizer's few numbers only"
        return engine.hypergradient(self.run, self.schedule, self.learn)

    def finding(self, cell: Cell, engine: Engine) -> Finding:
        """What is to be said of one hyperparameter."""
        name = cell.hyperparameter
        if name not in self.learn:
            fixed: Basis | float = self.optimizer.given()[name]
            reason = f"{name} is fixed at {fixed}: give it a basis to have it checked"
            return Finding(cell, Grade.skipped, None, reason)
        answer = self.answer(engine)
        if isinstance(answer, str):
            return Finding(cell, Grade.skipped, None, answer)
        if name not in answer.gradients:
            return Finding(cell, Grade.wrong, math.inf, "The engine returns nothing for it")
        if not math.isclose(answer.value, self.outcome.loss, rel_tol=1e-9):
            reason = f"The value is {answer.value}, but the run's loss {self.outcome.loss}"
            return Finding(cell, Grade.wrong, math.inf, reason)
        return _compared(cell, answer, self.slopes(name))


def _compared(cell: Cell, answer: Hypergradient, slopes: Slopes) -> Finding:
    gradient = answer.gradients[cell.hyperparameter].double()
    if cell.hyperparameter in answer.standard_error:
        score = slopes.score(gradient, answer.standard_error[cell.hyperparameter])
        grade = Grade.estimated if score <= SCORE else Grade.wrong
        return Finding(cell, grade, score, f"in standard errors; at most {SCORE:g} are allowed")
    error = slopes.error(gradient)
    if error <= TOLERANCE:
        return Finding(cell, Grade.exact, error)
    if not slopes.resolved and error * slopes.scale <= 20 * slopes.rounding:
        reason = (
            f"its slope, {slopes.scale:.0e}, is too small for finite differences, whose rounding is "
            f"{slopes.rounding:.0e}: choose initial values at which it matters"
        )
        return Finding(cell, Grade.skipped, None, reason)
    return Finding(cell, Grade.wrong, error, f"More than {TOLERANCE:.0e} off")
