"""The gradients of the last steps of a run, kept with their graphs."""

from collections.abc import Collection, Iterator
from typing import final

from torch import Tensor

from ._linearized import Linearized
from ._replay import Replay
from ._run import Run, Values
from ._slack import give_back
from ._trajectory import Trajectory


@final
class Graphed(Trajectory):
    """The last steps' gradients as they were taken, with their graphs; the states before elsewhere.

    Nothing of them is computed again: a sweep differentiates what the run computed.

    What a step keeps lies between what it frees: a sixth more may be resident than is held.

    Args:
        before: Keeps the states of the first steps.
        first: The step from which on graphs are kept.
        tidy: So many steps before the last, there, and when that is swept, where most is held, it is
            returned to the system, which takes time; 0 is never.
    """

    def __init__(self, before: Trajectory, first: int, tidy: int = 0):
        self._before, self._first, self._tidy = before, first, tidy
        self._states, self._points = list[Tensor](), dict[int, Linearized]()

    def append(self, state: Tensor) -> None:
        """Of a step whose graph is not kept."""
        self._before.append(state)

    def step(self, run: Run, state: Tensor, values: Values, t: int) -> tuple[Tensor, Tensor]:
        if t < self._first:
            return self._before.step(run, state, values, t)
        point = run.linearize(state[0], t, values, run.learned)
        self._states.append(state)
        self._points[t] = point
        if self._tidy and run.steps - 1 - t in (0, self._tidy):
            give_back()
        following = run.optimizer.advance(state, point.gradient.detach(), values)
        return following, point.loss.detach()

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        tidy = self._tidy > 0
        while self._states:
            final = self._states.pop()
            t = self._first + len(self._states)
            yield t, final
            self._points.pop(t, None)  # of a step that was swept before
            if tidy:
                give_back()
                tidy = False
        self._before.readings = self.readings
        yield from self._before.backwards(final, replay)

    def point(self, t: int, hypers: Collection[str]) -> Linearized | None:
        point = self._points.pop(t, None)
        return point if point is not None and point.hypers.keys() == set(hypers) else None
