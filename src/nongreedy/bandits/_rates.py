"""Slopes on logarithmic axes, with confidence intervals over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import check_whole
from ..protocols import generator
from ..task._streams import REWARDS


@dataclass(frozen=True)
class Slope:
    """Of a line through means on logarithmic axes, and its 95 % confidence interval over seeds."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def slope(places: Tensor, values: Tensor, draws: int = 1000) -> Slope:
    r"""The exponent of a power law, by least squares through the logarithms of means over seeds.

    The interval is the bootstrap's over seeds, all places of a seed together.

    Args:
        places: Positive, shape (m,), m >= 2.
        values: Positive means, shape (seeds, m).
        draws: Of the bootstrap.

    Raises:
        ValueError: Fewer than two places or seeds, or values that are not positive.

    Cannot: see what lies beyond the places; with few seeds bootstrap intervals are somewhat too narrow.

    Example:
        >>> import torch
        >>> x = torch.tensor([1.0, 10.0, 100.0])
        >>> str(slope(x, torch.stack([3 * x**0.5, 3 * x**0.5])))
        '0.50 [0.50, 0.50]'
    """
    check_whole("draws", draws, 2)
    places, values = places.double(), values.double()
    if len(places) < 2 or len(values) < 2 or values.shape != (len(values), len(places)):
        shapes = tuple(places.shape), tuple(values.shape)
        raise ValueError(f"Give (m,) places and (seeds, m) values, two of each at least: {shapes}.")
    if not bool((places > 0).all() and (values > 0).all()):
        raise ValueError("Places and values must be positive on logarithmic axes.")
    x = places.log() - places.log().mean()
    weights = x / x.square().sum()
    chosen = torch.randint(len(values), (draws, len(values)), generator=generator(0, REWARDS))
    drawn = values[chosen].mean(1).log() @ weights
    low, high = drawn.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return Slope(float(values.mean(0).log() @ weights), low, high)
