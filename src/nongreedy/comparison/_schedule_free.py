"""Schedule-free SGD, from the package of its authors, with a tuned learning rate."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

from torch import nn

from ..engines import Problem, Rollout, Run, Runner
from ..engines._progress import OnState, OnStep, ignore
from ..engines._run import at
from ..optimizers import SGD
from ..schedules import Schedule
from ..search import Evaluated
from ..training import Retrained
from ..training._retrain import Begun, retrain_with
from ._meter import Meter
from ._method import Method
from ._peaks import constant, tuned

# Its authors: a tenth to a fiftieth of it suits plain SGD. So the grid lies a decade higher.
REACH = 10.0
WARM = 20  # a 20th of the run, which they recommend to warm up in


def _optimizer(parameters: Iterable[nn.Parameter], schedule: Schedule, steps: int) -> Any:
    import schedulefree

    first = {name: value[0].item() for name, value in schedule.values(steps).items()}
    optimizer = schedulefree.SGDScheduleFree(
        parameters,
        lr=first["learning_rate"],
        momentum=first["momentum"],
        weight_decay=first["weight_decay"],
        warmup_steps=steps // WARM,
    )
    optimizer.train()
    return optimizer


@final
@dataclass(frozen=True)
class ScheduleFreeRuns(Runner):
    """Runs by ``schedulefree.SGDScheduleFree`` under the first values of a schedule.

    Gradients, batches and the validation loss are those of any other run.
    """

    def rollout(
        self,
        run: Run,
        schedule: Schedule,
        *,
        keep: bool = False,
        on_step: OnStep = ignore,
        on_state: OnState | None = None,
    ) -> Rollout:
        """Train once; the averaged weights are judged."""
        del keep
        values, losses = run.values(schedule), []
        theta = nn.Parameter(run.initial(at(values, 0))[0].clone())
        optimizer = _optimizer([theta], schedule, run.steps)
        with run.isolated():
            for t in range(run.steps):
                if on_state is not None:
                    on_state(t, theta.detach()[None])
                loss, gradient = run.gradient(theta, t, at(values, t))
                theta.grad = run.optimizer.clip(gradient)
                optimizer.step()
                losses.append(loss)
                on_step(t)
            optimizer.eval()
            outcome = run.outer_loss(theta.detach())
        return Rollout(run, schedule, values, outcome, losses, theta.detach()[None])


@final
@dataclass(frozen=True)
class ScheduleFree(Method):
    """Schedule-free SGD: no schedule, an average of the weights; its learning rate is tuned.

    Warmed up in a 20th of the run, momentum 0.9, weight decay 5e-4; the grid of learning rates lies
    a decade above that of the other shapes, as its authors advise.

    Source: arXiv:2405.15682.

    .. code-block:: bibtex

        @inproceedings{defazio2024road,
          author    = {Defazio, Aaron and Yang, Xingyu Alice and Mehta, Harsh and Mishchenko, Konstantin
                       and Khaled, Ahmed and Cutkosky, Ashok},
          title     = {The Road Less Scheduled},
          booktitle = {Advances in Neural Information Processing Systems},
          volume    = {37}, year = {2024}, eprint = {2405.15682}, archivePrefix = {arXiv}
        }
    """

    @property
    def runner(self) -> Runner:
        return ScheduleFreeRuns()

    def refused(self, problem: Problem) -> str | None:
        if importlib.util.find_spec("schedulefree") is None:
            return "the package schedulefree is not installed: pip install 'nongreedy[compare]'"
        if type(problem.optimizer) is not SGD:
            return f"its peak is tuned for SGD here, not for {type(problem.optimizer).__name__}"
        if problem.optimizer.average is not None:
            return f"it averages by itself, and not as {problem.optimizer.average!r}"
        return None

    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        return tuned(problem, meter, constant, REACH)

    def retrain(self, problem: Problem, schedule: Schedule, seed: int) -> Retrained:
        """By the package's optimizer on the network's own parameters."""

        def begin(named: list[tuple[str, nn.Parameter]]) -> Begun:
            optimizer = _optimizer([p for _, p in named], schedule, problem.steps)
            return Begun(optimizer, at_end=optimizer.eval)

        return retrain_with(
            begin,
            problem.task,
            schedule,
            steps=problem.steps,
            seed=seed,
            clip=problem.optimizer.clip_torch,
        )
