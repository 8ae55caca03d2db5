"""Slopes of a black box in a box of settings, from pairs that share their random numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_number
from ...protocols import Estimate, generator, mix
from ...schedules import Value
from ...task._streams import ZEROTH
from ..problems import Box
from ._sums import Sums


@dataclass(frozen=True)
class CommonPairs(Value):
    """The slopes of a black box along each coordinate, on common random numbers.

    Both sides of a pair are called with the same seed, so that what they share cancels. Each lies a radius
    away within the box; at a bound it stays there, and the slope is that of the chord. A whole coordinate
    moves by whole numbers, by 1 at least. Where the budget allows no pair for each coordinate, those of a
    random subset are estimated and scaled up, so that the mean over seeds stays right.

    Args:
        function: (point, seed) -> value; the same for the same arguments.
        box: Where points may lie.
        radius: Of a step, as a share of each coordinate's range.
        price: Of one call, in `unit`.
        unit: What costs are counted in.

    Raises:
        ValueError: A radius outside (0, 0.5]; by `estimate`, a budget below one pair, a point outside the
            box, or a value that is not finite.

    Source: ours; two-point estimates with common random numbers are standard.

    Cannot: be unbiased for a function that is not quadratic on the chord; move a whole coordinate by less
    than 1. With one pair for a coordinate its standard error is unknown: infinite. Of whole coordinates
    the slope is that between whole neighbours.

    Example:
        >>> import torch
        >>> from nongreedy.bandits import Box
        >>> box = Box(torch.zeros(2), torch.tensor([1.0, 8.0]), whole=torch.tensor([False, True]))
        >>> source = CommonPairs(lambda x, seed: float(x @ x) + seed % 7, box)
        >>> source.estimate(torch.tensor([0.5, 4.0]), seed=0, budget=8).gradient
        tensor([1.0000, 8.0000], dtype=torch.float64)
    """

    function: Callable[[Tensor, int], float]
    box: Box
    radius: float = 0.1
    price: float = 1.0
    unit: str = "calls"

    def __post_init__(self) -> None:
        check_number("radius", self.radius)
        check_number("price", self.price)
        if self.radius > 0.5:
            raise ValueError(f"`radius` must be at most 0.5 of the range, but got {self.radius}.")

    def sides(self, point: Tensor, coordinate: int) -> tuple[Tensor, Tensor]:
        """The two ends of the chord along a coordinate."""
        box = self.box
        whole = bool(box.whole is not None and box.whole[coordinate])
        reach = self.radius * float(box.high[coordinate] - box.low[coordinate])
        reach = max(1.0, float(round(reach))) if whole else reach
        low, high = point.clone(), point.clone()
        low[coordinate] -= reach
        high[coordinate] += reach
        low, high = box.round(low), box.round(high)
        if low[coordinate] == high[coordinate]:
            raise ValueError(
                f"Coordinate {coordinate} has a single whole number within its bounds: name it as fixed."
            )
        return low, high

    def estimate(self, point: Tensor, seed: int, budget: float) -> Estimate:
        """The mean value of the pairs around `point` and the slopes, for at most `budget`."""
        check_number("budget", budget)
        point = torch.as_tensor(point, dtype=torch.float64)
        if point.shape != self.box.low.shape or not torch.equal(self.box.project(point), point):
            raise ValueError(f"The point {point.tolist()} must lie in {self.box}: `project` it.")
        pairs, size = int(budget / self.price + 1e-9) // 2, len(point)
        if pairs < 1:
            raise ValueError(
                f"A pair costs {2 * self.price:g} {self.unit}, but `budget` is {budget:g}."
            )
        # Each coordinate's turn comes before any has a second one.
        order = torch.cat([
            torch.randperm(size, generator=generator(seed, ZEROTH, turn))
            for turn in range(-(-pairs // size))
        ])[:pairs].tolist()  # fmt: skip
        values, slopes = Sums(), [Sums() for _ in range(size)]
        for k, coordinate in enumerate(order):
            low, high = self.sides(point, coordinate)
            common = mix(seed, ZEROTH, size, k)
            ends = [self._value(low, common), self._value(high, common)]
            slope = (ends[1] - ends[0]) / (high - low)[coordinate]
            slopes[coordinate].add(slope[None])
            values.add(torch.tensor([sum(ends) / 2], dtype=torch.float64))
        scale = max(1.0, size / pairs)
        gradient, error = torch.zeros_like(point), torch.full_like(point, torch.inf)
        for coordinate, sums in enumerate(slopes):
            if sums.count:
                gradient[coordinate] = scale * sums.mean
                error[coordinate] = scale * sums.standard_error
        return Estimate(values.mean, gradient, error, 2 * pairs * self.price)

    def _value(self, point: Tensor, seed: int) -> float:
        value = float(self.function(point, seed))
        if not abs(value) < float("inf"):
            raise ValueError(f"The function must be finite, but is {value} at {point.tolist()}.")
        return value
