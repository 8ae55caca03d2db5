"""The contract of a method: how it searches, and how what it finds is trained afresh."""

import abc
from dataclasses import dataclass

from ..engines import Problem, Runner
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..search import Evaluated
from ..task import Task
from ..training import Retrained, retrain
from ._meter import Meter


@dataclass(frozen=True)
class Method(abc.ABC):
    """One way of finding a schedule within a budget. Leaves are frozen dataclasses.

    A method sees the problem through its meter, which counts every gradient and holds no test data.
    Its choice is then trained afresh by plain PyTorch, on seeds that no search has used.

    Args:
        summary: What it is, in a line.
    """

    summary: str

    @property
    def runner(self) -> Runner:
        """How its meter runs a schedule."""
        return Runner()

    def refused(self, problem: Problem) -> str | None:
        """Why it cannot take part, or None."""
        del problem
        return None

    def least(self, problem: Problem) -> float:
        """The smallest budget, in plain runs, with which it makes sense."""
        del problem
        return 4.0

    @abc.abstractmethod
    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        """The schedule found and its validation loss; None if every run diverged."""

    def trained(self, problem: Problem) -> tuple[Task, Optimizer]:
        """Task and optimizer that its schedules are of."""
        return problem.task, problem.optimizer

    def retrain(self, problem: Problem, schedule: Schedule, seed: int) -> Retrained:
        """One fresh training of what was found, by the whole problem, test data included."""
        task, optimizer = self.trained(problem)
        return retrain(task, schedule, steps=problem.steps, seed=seed, optimizer=optimizer)
