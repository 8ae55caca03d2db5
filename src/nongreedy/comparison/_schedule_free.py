"""Schedule-free SGD and AdamW, from the package of their authors."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, final

from ..engines import Problem
from ..optimizers import SGD, AdamW, Optimizer
from ..schedules import Schedule
from ..task._plain import Begun, Named
from ._plain_runs import PlainRuns
from ._ranges import Range, peaks

WARM = 20  # a 20th of the run, which they recommend to warm up in


def _sgd(parameters: list[Any], first: Mapping[str, float], steps: int) -> Any:
    import schedulefree

    return schedulefree.SGDScheduleFree(
        parameters,
        lr=first["learning_rate"],
        momentum=first["momentum"],
        weight_decay=first["weight_decay"],
        warmup_steps=steps // WARM,
    )


def _adamw(parameters: list[Any], first: Mapping[str, float], steps: int) -> Any:
    import schedulefree

    return schedulefree.AdamWScheduleFree(
        parameters,
        lr=first["learning_rate"],
        betas=(first["beta1"], first["beta2"]),
        weight_decay=first["weight_decay"],
        warmup_steps=steps // WARM,
    )


# By the optimizer of the problem: what makes it, and how far its rates lie above the usual ones. Its
# authors: a tenth to a fiftieth of them suits plain SGD, and AdamW wants one to ten times as much.
_FREE: Mapping[type, tuple[Callable[..., Any], float]] = {SGD: (_sgd, 10.0), AdamW: (_adamw, 3.0)}


@final
class ScheduleFreeRuns(PlainRuns):
    """Runs by the package ``schedulefree`` under the first values of a schedule; the average is judged.

    Warmed up in a 20th of the run. The rates that are tried lie above those of other methods, as its
    authors advise: tenfold for SGD, threefold for AdamW.

    Source: arXiv:2405.15682 (:cite:`defazio2024road`).
    """

    package: ClassVar[str | None] = "schedulefree"

    def begin(self, named: Named, rule: Optimizer, schedule: Schedule, steps: int) -> Begun:
        first = {name: value[0].item() for name, value in schedule.values(steps).items()}
        make, _ = _FREE[type(rule)]
        optimizer = make([p for _, p in named], first, steps)
        optimizer.train()
        return Begun(optimizer, at_end=optimizer.eval)

    def peaks(self, problem: Problem) -> Range:
        limits, (_, reach) = peaks(problem), _FREE[type(problem.optimizer)]
        return Range(reach * limits.low, reach * limits.high, limits.scale)

    def refused(self, problem: Problem) -> str | None:
        if type(problem.optimizer) not in _FREE:
            return f"there is one for SGD and AdamW, not for {type(problem.optimizer).__name__}"
        return super().refused(problem)
