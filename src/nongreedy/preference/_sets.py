"""Sets of items, as far as gradients need to know them: a ball, a hull, a catalogue."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from .._extras import needed
from ..errors import check_number
from ._numbers import tensor

_BLOCK = 1 << 17  # inner products at once: 1 MiB, which stays near the processor


@final
@dataclass(frozen=True, eq=False)
class Ball:
    """All points within a radius of a centre.

    Args:
        centre: Shape (d,).
        radius: Positive.

    Example:
        >>> value, member = Ball([0.0, 0.0], 2.0).support(torch.tensor([3.0, 4.0]).double())
        >>> float(value), member.tolist()
        (10.0, [1.2, 1.6])
    """

    centre: Tensor
    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "centre", tensor("centre", self.centre, 1))
        check_number("radius", self.radius)

    def support(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Largest inner products with directions of shape (..., d), and members that attain them."""
        length = direction.norm(dim=-1, keepdim=True)
        member = self.centre + self.radius * direction / length.clamp(min=1e-300)
        return (direction * member).sum(-1), member

    def project(self, point: Tensor) -> Tensor:
        """The nearest points of the ball, of shape (..., d)."""
        gap = point - self.centre
        return self.centre + gap * (self.radius / gap.norm(dim=-1, keepdim=True)).clamp(max=1)

    def round(self, point: Tensor) -> Tensor:
        """As :meth:`project`: every point of a ball is a member."""
        return self.project(point)


@final
class Catalogue:
    """Items that exist, relaxed to the ball around them; inner products are exact, in blocks.

    Args:
        points: Shape (n, d), n of at least 2, not all the same; scaled so that utility is linear in them.

    Raises:
        ValueError: One item, identical items, NaN.

    Example:
        >>> value, member = Catalogue([[1.0, 0.0], [0.0, 1.0]]).support(torch.tensor([3.0, 4.0]).double())
        >>> float(value), member.tolist()
        (4.0, [0.0, 1.0])
    """

    def __init__(self, points: Any):
        self.points = tensor("points", points, 2)
        if len(self.points) < 2:
            raise ValueError("One item leaves nothing to choose: give at least two.")
        if bool((self.points == self.points[0]).all()):
            raise ValueError(f"All {len(self)} items are identical: there is nothing to choose.")

    def __len__(self) -> int:
        return len(self.points)

    @functools.cached_property
    def relaxed(self) -> Ball:
        """The ball around the mean that holds all items."""
        centre = self.points.mean(0)
        return Ball(centre, float((self.points - centre).square().sum(1).max().sqrt()))

    def best(self, directions: Tensor) -> tuple[Tensor, Tensor]:
        """Largest inner products with directions of shape (..., d), and the first items that attain them."""
        flat = directions.reshape(-1, directions.shape[-1])
        values = flat.new_full((len(flat),), -torch.inf)
        places = torch.zeros(len(flat), dtype=torch.long)
        for low, block in self._blocks(len(flat)):
            found, place = (flat @ block.T).max(1)
            better = found > values
            values = torch.where(better, found, values)
            places = torch.where(better, place + low, places)
        shape = directions.shape[:-1]
        return values.reshape(shape), places.reshape(shape)

    def support(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Largest inner products with directions of shape (..., d), and members that attain them."""
        values, places = self.best(direction)
        return values, self.points[places]

    def project(self, point: Tensor) -> Tensor:
        """The nearest points of the ball around the items."""
        return self.relaxed.project(point)

    def nearest(self, points: Tensor, count: int) -> Tensor:
        """The items nearest to points of shape (..., d), the nearest first: shape (..., count)."""
        count = min(count, len(self))
        flat = points.reshape(-1, points.shape[-1])
        gaps, places = flat.new_empty((len(flat), 0)), torch.empty((len(flat), 0), dtype=torch.long)
        for low, block in self._blocks(len(flat)):
            gap = block.square().sum(1) - 2 * flat @ block.T
            near, place = gap.topk(min(count, len(block)), 1, largest=False)
            gaps, places = torch.cat([gaps, near], 1), torch.cat([places, place + low], 1)
            gaps, order = gaps.topk(min(count, gaps.shape[1]), 1, largest=False)
            places = places.gather(1, order)
        return places.reshape(*points.shape[:-1], -1)

    def round(self, point: Tensor) -> Tensor:
        """The nearest item of each point, of shape (d,) or (k, d); of several, different ones, the slots
        in turn."""
        if point.dim() == 1:
            return self.points[self.nearest(point, 1)[0]]
        return self.points[self.nearest_different(point)]

    def nearest_different(self, points: Tensor) -> list[int]:
        """An item for each of k points, shape (k, d): the nearest that no earlier point took."""
        if len(points) > len(self):
            raise ValueError(f"{len(points)} different items of {len(self)} do not exist.")
        taken = list[int]()
        for near in self.nearest(points, len(points)).tolist():
            taken.append(next(place for place in near if place not in taken))
        return taken

    def take(self, places: Tensor) -> Catalogue:
        """Some of the items, given by number."""
        return Catalogue(self.points[places])

    def _blocks(self, columns: int) -> Any:
        """Blocks of items, with the number of their first, whose products with columns fit the limit."""
        size = max(256, _BLOCK // max(columns, self.points.shape[1], 1))
        for low in range(0, len(self), size):
            yield low, self.points[low : low + size]


@final
class Hull:
    """All mixtures of items of a catalogue.

    Args:
        catalogue: Its corners.

    Example:
        >>> hull = Hull(Catalogue([[1.0, 0.0], [0.0, 1.0]]))
        >>> [round(each, 9) for each in hull.project(torch.tensor([1.0, 1.0]).double()).tolist()]
        [0.5, 0.5]
    """

    def __init__(self, catalogue: Catalogue):
        needed("Projection on a hull", "scipy")
        self.catalogue = catalogue

    def support(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Those of the catalogue: a linear function is largest at a corner."""
        return self.catalogue.support(direction)

    def project(self, point: Tensor) -> Tensor:
        """The nearest mixtures of points of shape (..., d)."""
        from scipy.optimize import nnls

        flat = point.reshape(-1, point.shape[-1])
        found = list[Tensor]()
        for each in flat:
            # The nearest point of the hull of the gaps y_i to zero is sum l_i y_i / sum l_i, where l >= 0
            # solves least squares of (sum l_i y_i, sum l_i) to (0, 1): scaling aside, the same minimum.
            gaps = (self.catalogue.points - each).numpy()
            rows = np.vstack([gaps.T, np.ones(len(gaps))])
            shares, _ = nnls(rows, np.append(np.zeros(gaps.shape[1]), 1.0))
            found.append(torch.from_numpy(shares / shares.sum()) @ self.catalogue.points)
        return torch.stack(found).reshape(point.shape)

    def round(self, point: Tensor) -> Tensor:
        """The nearest items."""
        return self.catalogue.round(point)
