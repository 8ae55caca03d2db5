"""Numbers that a device computed at each step, read together every few steps."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

# Steps between two reads: few at first, where most of what fails does, then four times as many each time.
_FIRST, _MORE, _MOST = 1, 4, 256
_LONG = 0.5  # seconds: what is found out later than that is found out too late

Judge = Callable[[int, Sequence[float]], None]  # (step, its numbers): what it raises ends the work


class Readings:
    """Numbers of steps, handed to a judge in their order, some steps late.

    A read waits for all that the device was given to do, so that a read at each step leaves a GPU idle
    between steps. What a judge raises is as of the step where it was computed; the steps since then were in
    vain: at most three times as many as came before, 256, or half a second of a slow model's.

    Args:
        judge: Who is told, in the order of the steps.
        at_once: Read at each step: where other processes compute the same, all must end at the same one.
    """

    def __init__(self, judge: Judge, at_once: bool = False):
        self._at_once = at_once
        self._judge, self._steps, self._rows = judge, list[int](), list[Tensor]()
        self._begun, self._many = time.monotonic(), _FIRST

    def add(self, step: int, numbers: Sequence[Tensor]) -> None:
        """Those of a step, each of shape ()."""
        place = numbers[0].device
        self._steps.append(step)
        self._rows.append(torch.stack([number.detach().to(place) for number in numbers]))
        late = len(self._steps) >= self._many or self._at_once
        if late or time.monotonic() - self._begun > _LONG:
            self.read()
            self._many = min(_MORE * self._many, _MOST)

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """What is raised within, such as by a model that is given NaN, comes after what the judge raises of
        the steps that are waiting."""
        try:
            yield
        except Exception:
            self.read()
            raise

    @property
    def waiting(self) -> int:
        """Steps that were not read yet."""
        return len(self._steps)

    def read(self) -> None:
        """Have all that is waiting judged now."""
        steps, rows = self._steps, self._rows
        self._steps, self._rows, self._begun = [], [], time.monotonic()
        for step, row in zip(steps, torch.stack(rows).tolist() if rows else (), strict=True):
            self._judge(step, row)
