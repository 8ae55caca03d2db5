"""How many plays a reward takes, and how that grows with the dimension."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nongreedy.bandits import Slope
from nongreedy.protocols import generator

DRAWS = 400


def crossing(places: Tensor, values: Tensor, level: float) -> float:
    """Where the median over seeds first reaches a level, on a logarithmic axis; infinite where nowhere.

    Args:
        places: Plays, rising, shape (m,).
        values: Shape (seeds, m).
    """
    median = values.quantile(0.5, dim=0)
    reached = (median >= level).nonzero().flatten()
    if not len(reached):
        return math.inf
    k = int(reached[0])
    if k == 0:
        return float(places[0])
    low, high = float(median[k - 1]), float(median[k])
    share = (level - low) / (high - low)
    x, y = math.log(float(places[k - 1])), math.log(float(places[k]))
    return math.exp(x + share * (y - x))


def growth(
    dimensions: list[int], places: list[Tensor], values: list[Tensor], level: float
) -> Slope:
    """Exponent of the crossing in the dimension, with a bootstrap interval over seeds."""
    x = torch.tensor(dimensions, dtype=torch.float64).log()
    x = (x - x.mean()) / (x - x.mean()).square().sum()

    def fitted(chosen: list[Tensor]) -> float:
        found = [crossing(p, v[c], level) for p, v, c in zip(places, values, chosen, strict=True)]
        return float(torch.tensor(found, dtype=torch.float64).log() @ x)

    draw = generator(0, 1)
    drawn = torch.tensor([
        fitted([torch.randint(len(v), (len(v),), generator=draw) for v in values])
        for _ in range(DRAWS)
    ]).double()  # fmt: skip
    drawn = drawn[drawn.isfinite()]
    if len(drawn) < DRAWS / 2:
        return Slope(math.nan, -math.inf, math.inf)  # the level is not reached
    low, high = drawn.quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return Slope(fitted([torch.arange(len(v)) for v in values]), low, high)
