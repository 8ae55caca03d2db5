"""A trajectory that keeps no states: it undoes the steps."""

import functools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ...errors import DivergedError, ReplayError
from ...task._nest import digest
from .._readings import Judge, Note, Readings
from .._replay import CAUSES, Replay
from .._run import Run, Values, at
from .._trajectory import Trajectory
from .buffer import BufferSizes
from .state import IntegerState


class Reversal(Trajectory):
    """States s_0 .. s_{T-1}, had again by reversing the last one.

    Grows with the number of steps by what the buffers hold (about :math:`\\log_2(1/\\beta)` bits per
    parameter) and by one checksum of 64 bits per step.

    Args:
        state: The integers, which the run moves on and `backwards` moves back.
        run, values: Where the gradients of all steps come from, and at which values.
        verify: Keep and compare the checksums of all steps.
    """

    def __init__(self, state: IntegerState, run: Run, values: Values, verify: bool = True):
        self.state, self._run, self._values, self.count = state, run, values, 0
        place = state.integers.device
        self.checksums = torch.zeros(state.steps * verify, dtype=torch.int64, device=place)

    def append(self, state: Tensor) -> None:
        """Note the checksum of the integers, from which `state` derives."""
        del state
        if len(self.checksums):
            self.checksums[self.count] = digest(self.state.integers)
        self.count += 1

    def advance(self, gradient: Tensor, step: int, note: Note | None = None) -> Tensor:
        """Take a step; the next state. What is noted of it is read at once, or by whoever is told."""
        self.state.advance(gradient, step, note or Readings(at_once=True).add)
        return self.state.floats()

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        """Yield (t, s_t) for t = T-1 .. 0; a replay would need the states that were not kept."""
        del final, replay
        readings = self.readings or Readings(at_once=True)
        for t in reversed(range(self.count)):
            self._retreat(t, readings)
            if len(self.checksums):
                same = digest(self.state.integers) == self.checksums[t]
                readings.add(t, [same], _check_same)
            if t == 0:
                readings.read()
                self._check_returned()
            yield t, self.state.floats()

    def _retreat(self, step: int, readings: Readings) -> None:
        def note(step: int, numbers: Sequence[Tensor], judge: Judge) -> None:
            readings.add(step, numbers, functools.partial(_on_the_way, judge))

        def gradient_at(parameters: Tensor, step: int) -> Tensor:
            now = at(self._values, step)
            loss, gradient = self._run.unread_gradient(parameters, step, now)

            def judge(step: int, numbers: Sequence[float]) -> None:
                if not math.isfinite(numbers[0]):
                    self._run.name_divergence(step, now, finite=True)

            note(step, [loss], judge)
            return gradient

        self.state.retreat(gradient_at, step, note)

    @property
    def spilled_bytes(self) -> int:
        """Which the whole run will add: each factor n/d loses log2(d/n) bits at each step."""
        limbs = 0
        for n, d in self.state.factors.fractions.values():
            capacity = 62 - math.log2(max(int(d.max()), 1))
            limbs += int((d.double() / n).log2().sum().item() / capacity)
        return limbs * self.state.integers[0].nbytes + self.checksums.nbytes

    @property
    def memory(self) -> BufferSizes:
        """What is held now."""
        integers, buffers = self.state.integers, self.state.buffers.values()
        return BufferSizes(
            parameters=integers.shape[1],
            state_bytes=integers.nbytes,
            limbs=sum(1 + len(buffer.spilled) for buffer in buffers),
            bits=sum(buffer.bits for buffer in buffers),
            checksum_bytes=self.checksums.nbytes,
        )

    def _check_returned(self) -> None:
        start = self._run.initial(at(self._values, 0))
        if not torch.equal(self.state.integers, self.state.encode(start)):
            raise _differs("all steps did not lead back to the initial state.")
        for name, buffer in self.state.buffers.items():
            if not buffer.empty:
                raise _differs(f"all steps left something in the buffer of {name}.")


def _on_the_way(judge: Judge, step: int, numbers: Sequence[float]) -> None:
    try:
        judge(step, numbers)
    except DivergedError as error:  # the run itself came by here and did not diverge
        raise _differs(f"step {step} left the run's own way. {error}") from error


def _check_same(step: int, same: Sequence[float]) -> None:
    if not same[0]:
        raise _differs(f"step {step} gave another state than it had started from.")


def _differs(what: str) -> ReplayError:
    return ReplayError(f"Undoing {what} {CAUSES} Reverse(store='device') does not recompute.")
