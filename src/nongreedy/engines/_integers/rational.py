"""Fractions n/d near given numbers: integers can be multiplied by them without loss."""

import torch
from torch import Tensor


def convergents(values: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    r"""The last convergent of each continued fraction whose denominator is at most `largest`.

    .. math:: |x - n/d| \le \frac{1}{d \cdot \text{largest}}

    which for every d > 1 is as near as the fixed denominator `largest` comes. Small denominators
    come out where they suffice (0.9 gives 9/10): both the rounding of a product and the waste of a
    full limb grow with d.

    Args:
        values: In [0, 1], any shape.
        largest: At least 1.

    Returns:
        n and d in lowest terms, int64, on the CPU; 0/1 and 1/1 at the ends.

    Source: textbook.

    Example:
        >>> convergents(torch.tensor([0.9, 0.95, 0.876543], dtype=torch.float64), 1000)
        (tensor([ 9, 19, 71]), tensor([10, 20, 81]))
    """
    rest = values.detach().cpu().double()
    going = torch.ones_like(rest, dtype=torch.bool)
    # Fractions as (n, d), from "infinity" = 1/0 and 0/1 on.
    before = torch.stack([going, ~going]).long()
    last = before.flip(0)
    while bool(going.any()):
        inverse = 1 / rest
        # A rest of zero ends the expansion: its infinite quotient passes every bound.
        quotient = inverse.clamp(max=2.0 * largest).floor().long()
        following = quotient * last + before
        going = going & (following[1] <= largest)
        before, last = torch.where(going, last, before), torch.where(going, following, last)
        rest = torch.where(going, inverse - quotient, rest)
    return last[0], last[1]


def proper_fractions(values: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    """As :func:`convergents`, but never 0 or 1: the nearest of 1/largest and 1 - 1/largest there."""
    n, d = convergents(values, largest)
    at_zero, at_one = n == 0, n == d
    n = torch.where(at_zero, 1, torch.where(at_one, largest - 1, n))
    return n, torch.where(at_zero | at_one, largest, d)
