"""Where the visited states of a run are kept until the reverse sweep asks for them, last first."""

import abc
import math
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from ..errors import ReplayError
from ._linearized import Linearized
from ._readings import Readings
from ._replay import CAUSES, Replay
from ._run import Run, Values


class Trajectory(abc.ABC):
    """States s_0 .. s_{T-1}: appended in order, then read once backwards.

    Attributes:
        readings: What looks at the numbers of steps that are computed again: a sweep's own, so that all are
            judged in their order.
    """

    readings: Readings | None = None

    @abc.abstractmethod
    def append(self, state: Tensor) -> None:
        """Keep the next state, shape (slots, P)."""

    def step(self, run: Run, state: Tensor, values: Values, t: int) -> tuple[Tensor, Tensor]:
        """Keep a state, and take the step from it: the next one, and the training loss, shape ()."""
        self.append(state)
        return run.step(state, values, t)

    @abc.abstractmethod
    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        """Yield (t, s_t) for t = T-1 .. 0."""

    def point(self, t: int, hypers: Collection[str]) -> Linearized | None:
        """The gradient that was taken at s_t, with its graph, if it was kept with these of the task's
        hyperparameters as leaves; it is given away."""
        del t, hypers
        return None


class InMemory(Trajectory):
    """Every state, where it was made, or copied to the host."""

    def __init__(self, on_host: bool = False):
        self._on_host, self.states = on_host, list[Tensor]()

    def append(self, state: Tensor) -> None:
        self.states.append(state.to("cpu", copy=True) if self._on_host else state)

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        while self.states:
            state = self.states.pop()
            yield len(self.states), state.to(final.device)


class OnDisk(Trajectory):
    """Every state, in a temporary file that vanishes with the trajectory.

    Written and read, not mapped: pages of a mapped file count as this process' memory, which is what
    the disk is to save.
    """

    def __init__(self, steps: int, directory: str | None = None):
        self._folder, self._steps, self._count = directory or tempfile.gettempdir(), steps, 0
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        # Open as long as the trajectory; a file that is left to vanish would warn.
        weakref.finalize(self, self._file.close)

    def append(self, state: Tensor) -> None:
        if self._count == 0:
            need_space(self._steps * state.nbytes, self._folder)
        self._file.write(_memory(state.cpu().contiguous()))
        self._count += 1

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        for t in reversed(range(self._count)):
            state = torch.empty(final.shape, dtype=final.dtype)
            self._file.seek(t * state.nbytes)
            if self._file.readinto(_memory(state)) < state.nbytes:
                raise OSError(f"The file of states in {self._folder!r} ends before step {t}.")
            yield t, state.to(final.device)


def _memory(state: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, of any dtype; shared, not copied."""
    return state.detach().view(-1).view(torch.uint8).numpy().data


class Checkpointed(Trajectory):
    """Every k-th state, k about the square root of T; the others are computed again.

    Peak memory is about ``2 sqrt(T)`` states and the cost one more run. The end of each replayed
    segment must equal the next checkpoint bit for bit.
    """

    def __init__(self, steps: int, interval: int | None = None):
        self.interval = interval or max(1, math.isqrt(max(steps - 1, 1)) + 1)
        self.kept: list[Tensor] = []
        self.most = self.interval + -(-steps // self.interval)  # states at once
        self.count = 0

    def append(self, state: Tensor) -> None:
        if self.count % self.interval == 0:
            self.kept.append(state)
        self.count += 1

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        stop, expected, readings = self.count, final, self.readings or Readings()
        while self.kept:
            start = (len(self.kept) - 1) * self.interval
            segment = [self.kept.pop()]
            for t in range(start, stop):
                segment.append(replay(segment[-1], t))
            replayed = segment.pop()
            differs, worst = (replayed != expected).any(), (replayed - expected).abs().max()
            readings.add(start, [worst, differs], self._judge)
            stop, expected = start, segment[0]
            for t in reversed(range(start, start + len(segment))):
                yield t, segment.pop()
        readings.read()

    def _judge(self, start: int, numbers: Sequence[float]) -> None:
        worst, differs = numbers
        if differs:
            stop = min(start + self.interval, self.count)
            raise ReplayError(
                f"Computing steps {start} to {stop} a second time gave a different state (largest "
                f"difference {worst:.3g}). {CAUSES} Reverse(store='device') does not recompute."
            )


def need_space(size: int, directory: str) -> None:
    """Raise OSError before a file of `size` bytes fills the disk."""
    free = shutil.disk_usage(directory).free
    if size > free:
        raise OSError(
            f"The states need {size / 2**30:.1f} GiB in {directory!r}, which has "
            f"{free / 2**30:.1f} GiB free. Set TMPDIR to a larger disk, or use "
            "Reverse(store='checkpoint')."
        )
