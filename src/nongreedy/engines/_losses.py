"""Training losses of a run, which are looked at some steps late."""

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from ..errors import DivergedError
from ._readings import Readings
from ._run import Run, Values


class Losses:
    """Training loss of each step, before it.

    A step that is not finite is named all the same: the steps since the last look are taken again.

    Args:
        numbers: Of the steps before, where a run goes on.
        bounded: Whether each state is checked otherwise, so that none is taken again for what it holds.

    Attributes:
        readings: What looks at them, for whatever else a step says.

    Raises:
        DivergedError, DataError: By `add` and `read`, as by :meth:`TrainingGradient.gradient`.
    """

    def __init__(self, run: Run, numbers: Iterable[float] = (), bounded: bool = False):
        self.numbers, self.readings = list(numbers), Readings(run.task.shards.many)
        self._run, self._bounded = run, bounded
        self._first, self._values = (0, torch.empty(0)), dict[int, Values]()

    def add(self, step: int, state: Tensor, values: Values, loss: Tensor) -> None:
        """The loss at s_t, shape (), of a step with these values."""
        if step == len(self.numbers):  # all before were looked at
            self._first, self._values = (step, state), {}
        self._values[step] = values
        self.readings.add(step, [loss], self._judge)

    def first(self) -> AbstractContextManager[None]:
        """As :meth:`Readings.first`."""
        return self.readings.first()

    def read(self) -> list[float]:
        """All so far."""
        self.readings.read()
        return self.numbers

    def _judge(self, step: int, numbers: Sequence[float]) -> None:
        if not math.isfinite(numbers[0]):
            with self.readings.counted(step + 1, self._run.steps):
                self._name(step)
        self.numbers.append(numbers[0])

    def _name(self, step: int) -> None:
        if self._bounded:
            self._run.name_divergence(step, self._values[step], finite=True)
        begun, state = self._first
        for t in range(begun, step):
            state, _ = self._run.step(state, self._values[t], t)
        self._run.gradient(state[0], step, self._values[step])
        raise DivergedError("training loss", step, self._run.steps)  # finite now
