"""Estimates where the reward is linear in a vector: uniform directions, or the paper's Gaussian ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_number
from ...schedules import Value
from .._batch import Batch, Plan
from ._gaussian import gaussian
from ._sums import Sums, parts


@dataclass(frozen=True)
class Sphere(Value):
    r"""Uniform directions of length 1: :math:`d\,\frac1n\sum_i r_i g_i` is unbiased for the coefficients.

    Source: arXiv:2107.04518 with directions of full length: ours.

    Example:
        >>> import torch
        >>> draw = torch.Generator().manual_seed(0)
        >>> directions, moment = Sphere().directions(5, 4, draw)
        >>> directions.shape, moment
        (torch.Size([5, 4]), 0.25)
    """

    def directions(self, count: int, size: int, draw: torch.Generator) -> tuple[Tensor, float]:
        """Directions in the unit ball, shape (count, size), and the mean square of an entry."""
        normal = torch.randn(count, size, generator=draw, dtype=torch.float64)
        return normal / normal.norm(dim=1, keepdim=True), 1 / size


@dataclass(frozen=True)
class GaussianDirections(Value):
    """The paper's: N(0, I/m), drawn again where longer than 1.

    Args:
        spread: m over the number of dimensions.

    Source: arXiv:2107.04518.

    Example:
        >>> GaussianDirections().spread
        1.5
    """

    spread: float = 1.5

    def __post_init__(self) -> None:
        check_number("spread", self.spread)

    def directions(self, count: int, size: int, draw: torch.Generator) -> tuple[Tensor, float]:
        """Directions in the unit ball, shape (count, size), and the mean square of an entry."""
        return gaussian(count, size, 1 / (self.spread * size), draw)


Directions = Sphere | GaussianDirections


def coefficients(
    directions: Directions,
    size: int,
    plays: int,
    action: Callable[[Tensor], Tensor],
    draw: torch.Generator,
    choice: Tensor | None,
) -> Plan[tuple[Tensor, Tensor]]:
    """The coefficients of a reward that is linear in a vector of `size`, and their standard error.

    Args:
        action: Directions of shape (n, size) -> actions of which they are the vector.
    """
    sums = Sums()
    for count in parts(plays, size):
        drawn, moment = directions.directions(count, size, draw)
        heard = yield Batch(action(drawn), choice=choice)
        sums.add(heard / moment * drawn)
    return sums.mean, sums.standard_error
