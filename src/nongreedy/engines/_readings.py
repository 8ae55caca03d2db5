"""Numbers that a device computed at each step, read together every few steps."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..errors import DivergedError

# Steps between two reads: few at first, where most of what fails does, then four times as many each time.
_FIRST, _MORE, _MOST = 1, 4, 256
_LONG = 0.5  # seconds: what is found out later than that is found out too late

Judge = Callable[[int, Sequence[float]], None]  # (step, its numbers): what it raises ends the work
Note = Callable[[int, Sequence[Tensor], Judge], None]  # as Readings.add


class Readings:
    """Numbers of steps, handed to their judges in the order in which they came, some steps late.

    A read waits for all that the device was given to do, so that a read at each step leaves a GPU idle
    between steps. What a judge raises is as of the step where it was computed; the steps since then were in
    vain: at most three times as many as came before, 256, or half a second of a slow model's.

    Args:
        at_once: Read at each step: where other processes compute the same, all must end at the same one.
    """

    def __init__(self, at_once: bool = False):
        self._at_once, self._rows = at_once, list[tuple[Judge, int, Tensor]]()
        self._begun, self._steps, self._many = time.monotonic(), 0, _FIRST

    def add(self, step: int, numbers: Sequence[Tensor], judge: Judge) -> None:
        """Some of a step, each of shape (), and who is told. A step may add more than once."""
        self._steps += not self._rows or self._rows[-1][1] != step
        place = (self._rows[0][2] if self._rows else numbers[0]).device
        row = torch.stack([number.detach().to(place) for number in numbers])
        self._rows.append((judge, step, row))
        late = self._steps >= self._many or self._at_once
        if late or time.monotonic() - self._begun > _LONG:
            self.read()
            self._many = min(_MORE * self._many, _MOST)

    @contextlib.contextmanager
    def counted(self, done: int, steps: int) -> Iterator[None]:
        """A divergence within, at the last of so many steps done, is told which others were in vain.

        As many as there are on a fast device, whatever this one is: a search that is repeated must spend the
        same.
        """
        try:
            yield
        except DivergedError as error:
            error.late = min(self._late(done), steps - done)
            error.swept = min(error.swept + error.late / (steps + 1), 1.0)
            raise

    def _late(self, done: int) -> int:
        """How many steps come after so many before the last of these is looked at."""
        seen, many = 0, _FIRST
        while seen < done and not self._at_once:
            seen, many = seen + many, min(_MORE * many, _MOST)
        return max(seen - done, 0)

    @contextlib.contextmanager
    def first(self) -> Iterator[None]:
        """What is raised within, such as by a model that is given NaN, comes after what the judges raise of
        the steps that are waiting."""
        try:
            yield
        except Exception:
            self.read()
            raise

    def read(self) -> None:
        """Have all that is waiting judged now."""
        rows, self._rows, self._steps, self._begun = self._rows, [], 0, time.monotonic()
        numbers = iter(torch.cat([row for *_, row in rows]).tolist() if rows else ())
        for judge, step, row in rows:
            judge(step, list(itertools.islice(numbers, len(row))))


def in_double(numbers: Tensor) -> Tensor:
    """In float64: where they are, or on the CPU where a device has none."""
    return (numbers.cpu() if numbers.device.type == "mps" else numbers).double()
