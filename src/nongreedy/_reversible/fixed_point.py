"""Fixed-point numbers: int64 with some bits after the point."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .multiplier import LIMIT


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

    @property
    def range(self) -> float:
        """Every number's magnitude is below this."""
        return LIMIT / 2.0**self.bits

    def encode(self, numbers: Tensor) -> Tensor | None:
        """The nearest, int64; None if one is out of range or not finite."""
        # Not truncated, as in the paper: that is always towards zero, and adds up over steps.
        scaled = (numbers.double() * 2.0**self.bits).round()
        return scaled.to(torch.int64) if bool(scaled.abs().max() < LIMIT) else None

    def decode(self, integers: Tensor) -> Tensor:
        """The nearest float64."""
        return integers.double() * 2.0**-self.bits


def in_range(integers: Tensor) -> bool:
    """No entry has used up its headroom."""
    low, high = integers.aminmax()
    return int(low) > -LIMIT and int(high) < LIMIT
