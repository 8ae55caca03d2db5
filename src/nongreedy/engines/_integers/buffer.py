"""The information buffer: what multiplications lost, one growing integer per parameter."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ReplayError
from .._readings import Note
from .multiplier import LIMIT, Multiplier


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

    How full a limb is decides where the next begins, and with it the low digits of every product. Only a limb
    that may be full by what its factors can have added is looked at.

    Args:
        like: An int64 tensor of the shape that will be multiplied.
        multiplier: How.
        name: What the buffer belongs to, for messages.
    """

    def __init__(self, like: Tensor, multiplier: Multiplier, name: str):
        self.limb, self.multiplier, self.name = torch.zeros_like(like), multiplier, name
        self.spilled: list[tuple[int, Tensor]] = []
        self._most, self._exact = 0, True  # no entry of the limb is more; whether one is as much

    def put(self, limb: Tensor) -> None:
        """Go on with another limb, of which nothing is known."""
        self.limb, self._most, self._exact = limb, LIMIT, False

    def weigh(self, most: int) -> None:
        """The largest entry of the limb, read."""
        self._most, self._exact = most, True

    def may_be_full(self, n: int, d: int) -> bool:
        """Whether there may be no room for this factor, for all that is known."""
        return n != d and self._most >= self.multiplier.room(n, d)

    def multiply(self, c: Tensor, n: int, d: int, step: int) -> None:
        """c <- c n/d, in place, and remember."""
        if n == d:
            return
        if self.may_be_full(n, d) and not self._exact:
            self.weigh(int(self.limb.max()))
        if self.may_be_full(n, d):
            self.spilled.append((step, self.limb))
            self.limb, self._most = torch.zeros_like(self.limb), 0
        self.multiplier.multiply(c, self.limb, n, d)
        self._most, self._exact = self.multiplier.most(self._most, n, d), False

    def divide(self, c: Tensor, n: int, d: int, step: int, note: Note) -> None:
        """Undo the multiplication of this step, the last one that was not yet undone."""
        if n == d:
            return
        self.multiplier.divide(c, self.limb, n, d)
        self.put(self.limb)
        if self.spilled and self.spilled[-1][0] == step:
            note(step, [self.limb.count_nonzero().double()], self._check_drained)
            self.put(self.spilled.pop()[1])

    def _check_drained(self, step: int, numbers: Sequence[float]) -> None:
        if numbers[0]:
            raise ReplayError(
                f"The buffer of {self.name} holds {numbers[0]:.0f} non-zero entries "
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
