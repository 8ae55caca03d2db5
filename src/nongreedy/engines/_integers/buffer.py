"""The information buffer: what multiplications lost, one growing integer per parameter."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ReplayError
from .multiplier import Multiplier


@dataclass(frozen=True)
class BufferSizes:
    """What a reversible run holds in order to go back."""

    parameters: int  # P
    state_bytes: int  # of the integer state itself
    limbs: int  # 64-bit integers per parameter in all buffers together
    bits: float  # information in them, per parameter
    checksum_bytes: int  # one int64 per step, or nothing

    @property
    def buffer_bytes_per_parameter(self) -> int:
        """Eight for each limb."""
        return 8 * self.limbs


class Buffer:
    """One limb per entry, and a stack of full ones.

    Args:
        like: An int64 tensor of the shape that will be multiplied.
        multiplier: How.
        name: What the buffer belongs to, for messages.
    """

    def __init__(self, like: Tensor, multiplier: Multiplier, name: str):
        self.limb, self.multiplier, self.name = torch.zeros_like(like), multiplier, name
        self.spilled: list[tuple[int, Tensor]] = []

    def multiply(self, c: Tensor, n: int, d: int, step: int) -> None:
        """c <- c n/d, in place, and remember."""
        if n == d:
            return
        if int(self.limb.max()) >= self.multiplier.room(n, d):
            self.spilled.append((step, self.limb))
            self.limb = torch.zeros_like(self.limb)
        self.multiplier.multiply(c, self.limb, n, d)

    def divide(self, c: Tensor, n: int, d: int, step: int) -> None:
        """Undo the multiplication of this step, the last one that was not yet undone."""
        if n == d:
            return
        self.multiplier.divide(c, self.limb, n, d)
        if self.spilled and self.spilled[-1][0] == step:
            self.check_drained(step)
            self.limb = self.spilled.pop()[1]

    def check_drained(self, step: int) -> None:
        """Raise ReplayError unless the limb holds nothing."""
        if bool(self.limb.any()):
            raise ReplayError(
                f"The buffer of {self.name} holds {int(self.limb.count_nonzero())} non-zero entries "
                f"where step {step} found it empty: the state that is being reversed is not the "
                "one that the run arrived at."
            )

    @property
    def empty(self) -> bool:
        """Nothing is left to undo."""
        return not self.spilled and not bool(self.limb.any())

    @property
    def bits(self) -> float:
        """Information per entry: what holds an integer of the mean size of each limb."""
        limbs = [*(limb for _, limb in self.spilled), self.limb]
        return sum(math.log2(limb.double().mean().item() + 1) for limb in limbs)
