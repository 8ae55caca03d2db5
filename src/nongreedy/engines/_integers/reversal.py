"""A trajectory that keeps no states: it undoes the steps."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...errors import DivergedError, ReplayError
from ...task._data_plan import checksum
from .._replay import CAUSES, Replay
from .._trajectory import Trajectory
from .buffer import BufferSizes
from .state import IntegerState


class Reversal(Trajectory):
    """States s_0 .. s_{T-1}, had again by reversing the last one.

    Grows with the number of steps by what the buffers hold (about :math:`\\log_2(1/\\beta)` bits per
    parameter) and by one checksum of 64 bits per step.

    Args:
        state: The integers, which the run moves on and `backwards` moves back.
        gradient_at: ``(theta, t) -> raw gradient``, bit for bit as in the run.
        start: ``() -> s_0`` in floating point, for the final comparison.
        verify: Keep and compare the checksums of all steps.
    """

    def __init__(
        self,
        state: IntegerState,
        gradient_at: Callable[[Tensor, int], Tensor],
        start: Callable[[], Tensor],
        verify: bool = True,
    ):
        self.state, self.gradient_at, self.start = state, gradient_at, start
        self.count = 0
        self.checksums = torch.zeros(state.steps * verify, dtype=torch.int64)

    def append(self, state: Tensor) -> None:
        """Note the checksum of the integers, from which `state` derives."""
        del state
        if len(self.checksums):
            self.checksums[self.count] = checksum(self.state.integers)
        self.count += 1

    def advance(self, gradient: Tensor, step: int) -> Tensor:
        """Take a step; the next state."""
        self.state.advance(gradient, step)
        return self.state.floats()

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        """Yield (t, s_t) for t = T-1 .. 0; a replay would need the states that were not kept."""
        del final, replay
        for t in reversed(range(self.count)):
            self._retreat(t)
            if len(self.checksums) and checksum(self.state.integers) != int(self.checksums[t]):
                raise _differs(f"step {t} gave another state than it had started from.")
            if t == 0:
                self._check_returned()
            yield t, self.state.floats()

    def _retreat(self, step: int) -> None:
        try:
            self.state.retreat(self.gradient_at, step)
        except DivergedError as error:  # the run itself came by here and did not diverge
            raise _differs(f"step {step} left the run's own way. {error}") from error

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
        if not torch.equal(self.state.integers, self.state.encode(self.start())):
            raise _differs("all steps did not lead back to the initial state.")
        for name, buffer in self.state.buffers.items():
            if not buffer.empty:
                raise _differs(f"all steps left something in the buffer of {name}.")


def _differs(what: str) -> ReplayError:
    return ReplayError(f"Undoing {what} {CAUSES} Reverse(store='device') does not recompute.")
