"""Runs by an optimizer in plain PyTorch, such as that of a package: nothing but its peak is tuned."""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, final

from torch import nn

from .._extras import missing
from ..engines import Problem, Rollout, Run, Runner
from ..engines._progress import OnState, OnStep, ignore
from ..engines._run import at
from ..optimizers import Optimizer
from ..schedules import Curve, Schedule
from ..search import Evaluated
from ..task._plain import Begun, Named
from ..training import Retrained
from ..training._retrain import retrain_with
from ._meter import Meter
from ._method import Method
from ._peaks import tuned
from ._practice import grouped
from ._ranges import Range, peaks


class PlainRuns(Runner, abc.ABC):
    """Runs by an optimizer that a leaf makes; it may look at every step, and change weights at the end.

    Gradients, batches and the validation loss are those of any other run.
    """

    package: ClassVar[str | None] = None  # where its optimizer comes from

    @abc.abstractmethod
    def begin(self, named: Named, rule: Optimizer, schedule: Schedule, steps: int) -> Begun:
        """The optimizer of these parameters at the start of a run."""

    def peaks(self, problem: Problem) -> Range:
        """Where its one setting is looked for."""
        return peaks(problem)

    def refused(self, problem: Problem) -> str | None:
        """Why it cannot train this, or None."""
        if problem.optimizer.average is not None:
            return f"it averages in its own way or not at all, not as {problem.optimizer.average!r}"
        return grouped(problem)

    def rollout(
        self,
        run: Run,
        schedule: Schedule,
        *,
        keep: bool = False,
        on_step: OnStep = ignore,
        on_state: OnState | None = None,
    ) -> Rollout:
        """Train once; the weights that it ends with are judged."""
        del keep
        values, losses = run.values(schedule), []
        theta = nn.Parameter(run.initial(at(values, 0))[0].clone())
        begun = self.begin([("theta", theta)], run.optimizer, schedule, run.steps)
        with run.isolated():
            for t in range(run.steps):
                if on_state is not None:
                    on_state(t, theta.detach()[None])
                loss, gradient = run.gradient(theta, t, at(values, t))
                theta.grad = run.optimizer.clip(gradient)
                begun.optimizer.step()
                begun.after_step()
                losses.append(loss)
                on_step(t)
            begun.at_end()
            outcome = run.outer_loss(theta.detach())
        return Rollout(run, schedule, values, outcome, losses, theta.detach()[None])


@final
@dataclass(frozen=True)
class PlainPeak(Method):
    """A shape of the learning rate under another optimizer; its peak is tuned as :class:`TunedPeak` does.

    Args:
        runs: How a schedule is run.
        shape: From a peak to the learning rate over the run.
    """

    runs: PlainRuns
    shape: Callable[[float], Curve]

    @property
    def runner(self) -> Runner:
        return self.runs

    def refused(self, problem: Problem) -> str | None:
        if self.runs.package is not None and (told := missing(self.runs.package)):
            return f"it needs {told}"
        return self.runs.refused(problem)

    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        return tuned(problem, meter, self.shape, self.runs.peaks(problem))

    def retrain(self, problem: Problem, schedule: Schedule, seed: int) -> Retrained:
        """By the same optimizer on the network's own parameters."""
        rule, steps = problem.optimizer, problem.steps

        def begin(named: Named) -> Begun:
            return self.runs.begin(named, rule, schedule, steps)

        return retrain_with(
            begin, problem.task, schedule, steps=steps, seed=seed, clip=rule.clip_torch
        )
