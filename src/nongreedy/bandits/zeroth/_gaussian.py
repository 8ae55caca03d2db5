"""The printed estimators: Gaussian directions around a shrunken point, with one reward or two."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_number, check_whole
from ...protocols import Estimate
from .._batch import Batch, Plan
from ._estimator import Estimator
from ._sums import Sums, parts


def gaussian(count: int, size: int, variance: float, draw: torch.Generator) -> tuple[Tensor, float]:
    """Draws of N(0, variance I) inside the unit ball, shape (count, size); and E of a squared entry.

    Whoever lies outside is drawn again, so that the second moment is a little below `variance`.
    """
    drawn = torch.empty(0, size, dtype=torch.float64)
    while len(drawn) < count:
        more = torch.randn(count, size, generator=draw, dtype=torch.float64) * variance**0.5
        drawn = torch.cat([drawn, more[more.square().sum(1) <= 1]])
    half = torch.tensor([size / 2, size / 2 + 1], dtype=torch.float64)
    within = torch.special.gammainc(half, torch.full_like(half, 0.5 / variance))
    return drawn[:count], variance * float(within[1] / within[0])


@dataclass(frozen=True)
class _Gaussian(Estimator):
    degree: int = 2
    spread: float = 1.5

    def __post_init__(self) -> None:
        check_whole("degree", self.degree, 2)
        check_number("spread", self.spread)
        if self.spread < 1:
            raise ValueError(
                f"`spread` must be at least 1, but got {self.spread}: below it nearly every direction "
                "leaves the unit ball and is drawn again."
            )

    @property
    def step(self) -> float:
        """z: how far towards the direction the action lies."""
        return 0.5 if self.degree == 2 else 1 / (2 * self.degree)

    def _heard(self, point: Tensor, directions: Tensor) -> Plan[tuple[Tensor, Tensor]]:
        """What each direction is to be weighed by, and the rewards."""
        actions = (1 - self.step) * point + self.step * directions
        heard = (yield Batch(actions, choice=point))[:, 0]
        return heard, heard

    def _each(self) -> int:
        return 1

    def least(self, size: int) -> int:
        return 2 * self._each()

    def plan(self, point: Tensor, plays: int, draw: torch.Generator) -> Plan[Estimate]:
        size, slopes, values = len(point), Sums(), Sums()
        for count in parts(plays // self._each(), size):
            directions, moment = gaussian(count, size, 1 / (self.spread * size), draw)
            weights, heard = yield from self._heard(point, directions)
            slopes.add(weights[:, None] * directions / (moment * self.step))
            values.add(heard)
        cost = float(slopes.count * self._each())
        return Estimate(values.mean, slopes.mean, slopes.standard_error, cost)


@dataclass(frozen=True)
class OnePoint(_Gaussian):
    r"""The paper's estimator, one reward for each direction.

    .. math:: \frac{1}{z n E g_1^2} \sum_i r_i g_i,\quad r_i \text{ at } (1-z) a + z g_i,\quad
        g_i \sim N(0, I/m),\ \|g_i\| \le 1

    That is the gradient of the mean of f around :math:`(1-z)a`, not at :math:`a`; the value is that mean.
    For quadratic rewards it is half the gradient at :math:`a`. (The paper's G is z times this, with m for
    the inverse of the second moment.)

    Args:
        degree: p, of the reward; z is 1/2 for 2 and 1/(2p) above.
        spread: m over the number of dimensions.

    Raises:
        ValueError: A degree below 2, or a spread below 1.

    Source: arXiv:2107.04518, with s!! in its mean, which the main text drops.

    Cannot: keep the constant term of the reward out of the noise; :class:`TangentSphere` has four times
    the signal.

    Example:
        >>> OnePoint().step
        0.5
    """


@dataclass(frozen=True)
class TwoPoint(_Gaussian):
    r"""The paper's estimator for tensors: from each reward that of the direction alone is subtracted.

    .. math:: \frac{1}{z n E g_1^2} \sum_i (r_i - r'_i) g_i,\quad r'_i \text{ at } z g_i

    So the mean has no term of the highest power of the direction.

    Args:
        degree: p, of the reward; z is 1/2 for 2 and 1/(2p) above.
        spread: m over the number of dimensions.

    Source: arXiv:2107.04518.

    Example:
        >>> TwoPoint(degree=3).least(size=5)
        4
    """

    degree: int = 3

    def _heard(self, point: Tensor, directions: Tensor) -> Plan[tuple[Tensor, Tensor]]:
        _, heard = yield from super()._heard(point, directions)
        alone = (yield Batch(self.step * directions, choice=point))[:, 0]
        return heard - alone, heard

    def _each(self) -> int:
        return 2
