"""Training losses of a run, which are looked at some steps late."""

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from torch import Tensor

from ..errors import DivergedError
from ._readings import Readings
from ._run import Run, Values, at


class Losses:
    """Training loss of each step, before it.

    A step that is not finite is named all the same: the steps since the last look are taken again.

    Args:
        values: What the run uses at each step.
        numbers: Of the steps before, where a run goes on.

    Raises:
        DivergedError, DataError: By `add` and `read`, as by :meth:`TrainingLoss.gradient`.
    """

    def __init__(self, run: Run, values: Values, numbers: Iterable[float] = ()):
        self.numbers = list(numbers)
        self._run, self._values = run, values
        self._readings = Readings(self._judge, run.task.shards.many)
        self._since: tuple[int, Tensor] | None = None

    def add(self, step: int, state: Tensor, loss: Tensor) -> None:
        """The loss at s_t, shape ()."""
        if not self._readings.waiting:
            self._since = step, state
        self._readings.add(step, [loss])

    def first(self) -> AbstractContextManager[None]:
        """As :meth:`Readings.first`."""
        return self._readings.first()

    def read(self) -> list[float]:
        """All so far."""
        self._readings.read()
        return self.numbers

    def _judge(self, step: int, numbers: Sequence[float]) -> None:
        if not math.isfinite(numbers[0]):
            self._name(step)
        self.numbers.append(numbers[0])

    def _name(self, step: int) -> None:
        assert self._since is not None
        begun, state = self._since
        for t in range(begun, step):
            state, _ = self._run.step(state, at(self._values, t), t)
        self._run.gradient(state[0], step, at(self._values, step))
        raise DivergedError("training loss", step, self._run.steps)  # finite now
