"""Runs that someone looks at on the way and may stop."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NoReturn, final

from torch import Tensor

from ..engines import Engine, Hypergradient, Rollout, Run, Trajectory
from ..engines._engine import OnStep, ignore
from ..engines._trajectory import Replay
from ..errors import DivergedError
from ..schedules import Schedule
from ..search import Answer, Request
from ..studies._answers import decoded, encoded
from ._unfinished import Counted


@final
class Watched(Engine):
    """Plain runs whose validation loss is told on the way to someone who may stop them, by raising.

    Args:
        looks: After how many steps.
        tell: Called with the steps done and the loss.
        stops: What it raises to stop a run.

    Attributes:
        done: Steps that the present run has taken.
        seen: What was told of it, (steps done, loss).
    """

    def __init__(
        self, looks: Collection[int], tell: Callable[[int, float], None], stops: type[Exception]
    ):
        self.looks, self._tell, self.stops = frozenset(looks), tell, stops
        self.done, self.seen = 0, list[tuple[int, float]]()

    def tell(self, done: int, loss: float) -> None:
        """Tell it; may raise."""
        self.done = done
        self.seen.append((done, loss))
        self._tell(done, loss)

    def trajectory(self, run: Run) -> Trajectory:
        return _Looks(self, run)

    def rollout(
        self, run: Run, schedule: Schedule, *, keep: bool = False, on_step: OnStep = ignore
    ) -> Rollout:
        """Train once, looking."""
        del keep
        return super().rollout(run, schedule, keep=True, on_step=on_step)

    def sweep_cost(self, *_: object) -> NoReturn:
        raise TypeError("A watched run has no hypergradient.")

    def differentiate(self, *_: object) -> Hypergradient:
        raise TypeError("A watched run has no hypergradient.")


class _Looks(Trajectory):
    """Sees every state before its step, and keeps none."""

    def __init__(self, watched: Watched, run: Run):
        self._watched, self._run = watched, run
        watched.done, watched.seen = 0, []

    def append(self, state: Tensor) -> None:
        watched = self._watched
        if watched.done in watched.looks:
            watched.tell(watched.done, self._loss(state))
        watched.done += 1

    def _loss(self, state: Tensor) -> float:
        try:
            return self._run.outer_loss(state[0]).loss
        except DivergedError as error:
            raise DivergedError(error.quantity, self._watched.done, self._run.steps) from error

    def backwards(self, final: Tensor, replay: Replay) -> NoReturn:
        raise TypeError("A watched run keeps no states.")


class Looked(Counted):
    """Remembers of watched runs what was seen on the way, too, and tells it again.

    Who is told then stops the run where it did before; and if it does not, having heard something
    else in between, the run is trained anew.
    """

    def __init__(self, memory: Counted, watched: Watched):
        super().__init__(memory.memory, memory.count)
        self._watched = watched

    def recall(self, request: Request) -> Answer | None:
        known = self.noted(_name(request))
        if known is None:
            return None
        for done, loss in known["looks"]:
            self._watched.tell(done, loss)
        answer = None if known["answer"] is None else decoded(known["answer"])
        self._count(request, answer)
        return answer

    def remember(self, request: Request, answer: Answer) -> None:
        self.note(_name(request), {"looks": self._watched.seen, "answer": encoded(answer)})
        self._count(request, answer)

    def stopped(self, request: Request) -> None:
        """The run was ended by the last that was told."""
        self.note(_name(request), {"looks": self._watched.seen, "answer": None})


def _name(request: Request) -> str:
    return f"watched {request.key}"
