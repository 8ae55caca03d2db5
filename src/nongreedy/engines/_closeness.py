"""How close two derivatives are, in random directions."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def closest(errors: Iterable[tuple[float, float]], limit: float) -> tuple[float, float]:
    """The least of some errors, of which no more are looked at once one is within the limit; and the
    least of their doubts: how far a difference is from that of the width before."""
    least, surest = math.inf, math.inf
    for error, doubt in errors:
        least, surest = min(least, error), min(surest, doubt)
        if least <= limit:
            break
    return least, surest


def along(slope: Tensor, direction: Tensor) -> float:
    return float((slope * direction).sum())


def drawn(like: Tensor, source: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=source, dtype=torch.float64).to(like)


def scaled(like: Tensor, source: torch.Generator) -> Tensor:
    size = float(like.double().square().mean().sqrt()) or 0.1
    return size * drawn(like, source)


def relative(found: Tensor, expected: Tensor) -> float:
    size = float(expected.norm())
    differs = float((found - expected).norm())
    return differs / size if size else differs
