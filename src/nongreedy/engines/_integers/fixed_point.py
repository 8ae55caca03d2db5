"""Fixed-point numbers: int64 with some bits after the point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .multiplier import LIMIT

DEFAULT_BITS = 52  # of a float64's mantissa


@dataclass(frozen=True)
class FixedPoint:
    """A format: `bits` after the point.

    Range :math:`2^{62 - bits}`, resolution :math:`2^{-bits}`; the last bit but the sign is headroom,
    because a sum that wraps around could still be undone and so would pass unnoticed.

    Example:
        >>> FixedPoint(52).range
        1024.0
    """

    bits: int

    @classmethod
    def for_squares(cls, numbers: Tensor) -> FixedPoint | None:
        """For means of squares of such numbers, which may grow sixteenfold; None if all are zero.

        62 bits of squares are 31 of the numbers, which must resolve the small beside the large: too
        few for a format that does not know the scale.
        """
        largest = numbers.abs().max().item()
        if not 0 < largest < math.inf:
            return None
        return cls(54 - 2 * math.frexp(largest)[1])

    @property
    def range(self) -> float:
        """Every number's magnitude is below this."""
        return LIMIT / 2.0**self.bits

    def encode(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest, int64, and whether all are finite and in range, shape (), which is not read."""
        # Not truncated, as in the paper: that is always towards zero, and adds up over steps.
        scaled = (numbers.double() * 2.0**self.bits).round()
        return scaled.to(torch.int64), scaled.abs().max() < LIMIT

    def decode(self, integers: Tensor) -> Tensor:
        """The nearest float64."""
        return integers.double() * 2.0**-self.bits


def in_range(integers: Tensor) -> Tensor:
    """Whether no entry has used up its headroom, shape (), not read."""
    low, high = integers.aminmax()
    return (low > -LIMIT) & (high < LIMIT)
