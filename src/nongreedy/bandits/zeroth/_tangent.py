"""The recommended estimators: directions orthogonal to the point, on great circles through it.

On such a circle a homogeneous reward of degree p is a trigonometric polynomial of degree p, and M. Riesz's
formula reads its slope off p rewards, with weights whose magnitudes add up to p: no formula does better.
For p = 2 the rewards are those at (a + g)/sqrt(2) and (a - g)/sqrt(2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_whole
from ...protocols import Estimate
from .._batch import Batch, Plan
from ._estimator import Estimator
from ._sums import Sums, parts


def riesz(degree: int) -> tuple[Tensor, Tensor]:
    """Angles and weights that give the slope at 0 of f(cos t a + sin t g) for f of this degree.

    Riesz's 2p places are folded into p by f(-x) = (-1)^p f(x); angles lie in (-pi/2, pi/2].

    Source: M. Riesz, Jahresbericht der DMV 23 (1914).

    Example:
        >>> import math
        >>> angles, weights = riesz(2)
        >>> (angles / math.pi).tolist(), [round(w, 12) for w in weights.tolist()]
        ([0.25, -0.25], [1.0, -1.0])
    """
    places = (2 * torch.arange(2 * degree, dtype=torch.float64) + 1) * math.pi / (2 * degree)
    signs = 1.0 - 2.0 * (torch.arange(2 * degree) % 2)
    weights = signs / (4 * degree * (places / 2).sin().square())
    folded: dict[int, float] = {}
    for k, weight in enumerate(weights.tolist()):
        # The place k + p lies opposite: its reward is that of k, times (-1)^p.
        key, sign = (k, 1.0) if k < degree else (k - degree, (-1.0) ** degree)
        folded[key] = folded.get(key, 0.0) + sign * weight
    angles, values = (
        places[:degree].clone(),
        torch.tensor(list(folded.values()), dtype=torch.float64),
    )
    beyond = angles > math.pi / 2 + 1e-9
    angles[beyond] -= math.pi
    values[beyond] *= (-1.0) ** degree
    return angles, values


def orthogonal(directions: Tensor, point: Tensor) -> Tensor:
    """Unit directions orthogonal to the point, from any that are not along it: shape (n, d)."""
    directions = directions - (directions @ point)[:, None] * point
    return directions / directions.norm(dim=1, keepdim=True)


@dataclass(frozen=True)
class _Tangent(Estimator):
    """The slope along the tangent sphere; along the point it is p f(a), which plays of `a` itself tell."""

    degree: int = 2

    def __post_init__(self) -> None:
        check_whole("degree", self.degree, 2)

    def _whole(
        self, point: Tensor, slope: Tensor, error: Tensor, radial: Tensor, cost: float
    ) -> Estimate:
        """What slopes in the tangent space, their standard error, and rewards of the point come to."""
        # Projected once more: rounding leaves a little of the point in sums of directions.
        slope = slope - (slope @ point) * point
        value = radial.mean()
        along = self.degree * radial.std() / len(radial) ** 0.5 * point
        gradient = slope + self.degree * value * point
        return Estimate(value, gradient, (error.square() + along.square()).sqrt(), cost)


@dataclass(frozen=True)
class TangentSphere(_Tangent):
    r"""Random directions on the unit sphere orthogonal to the point, one reward for each.

    .. math:: (d-1)\,\frac1{n-1} \sum_i p\,\mathrm{sign}(w_i)\, (r_i - \bar r) g_i + p \bar r(a)\, a,\quad
        r_i \text{ at } \cos t_i\, a + \sin t_i\, g_i

    The angles :math:`t_i` are drawn from :func:`riesz` with probability :math:`|w_i|/p`. Unbiased for the
    gradient of every homogeneous reward of degree p; for p = 2 the actions are :math:`(a+g)/\sqrt2`. One
    play in nine is of the point itself.

    Args:
        degree: p, of the reward.

    Source: ours.

    Cannot: see the gradient of a reward that is not homogeneous of this degree without bias.

    Example:
        >>> TangentSphere().least(size=10)
        4
    """

    def least(self, size: int) -> int:
        return 4

    def plan(self, point: Tensor, plays: int, draw: torch.Generator) -> Plan[Estimate]:
        size, slopes = len(point), Sums()
        own = max(2, plays // 9)
        angles, weights = riesz(self.degree)
        for count in parts(plays - own, size):
            raw = torch.randn(count, size, generator=draw, dtype=torch.float64)
            directions = orthogonal(raw, point)
            chosen = torch.multinomial(weights.abs(), count, replacement=True, generator=draw)
            angle, sign = angles[chosen][:, None], weights[chosen].sign()
            actions = angle.cos() * point + angle.sin() * directions
            heard = (yield Batch(actions, choice=point))[:, 0]
            # What all rewards have in common is noise to the slope. Each reward is in the mean, too.
            if count > 1:
                heard = (heard - heard.mean()) * (count / (count - 1))
            slopes.add((sign * heard)[:, None] * directions)
        radial = (yield Batch(point[None], own, choice=point))[0]
        scale = self.degree * (size - 1)
        slope, error = scale * slopes.mean, scale * slopes.standard_error
        return self._whole(point, slope, error, radial, float(plays))


@dataclass(frozen=True)
class Orthonormal(_Tangent):
    r"""Whole orthonormal bases of the tangent space, each direction played on both sides.

    .. math:: \sum_j z_j \sum_t w_t f(\cos t\, a + \sin t\, z_j) + p f(a)\, a

    Exact, whatever the point, for homogeneous rewards without noise, from p(d-1) + 1 plays; for p = 2
    that is :math:`\sum_j z_j (f((a+z_j)/\sqrt2) - f((a-z_j)/\sqrt2))`. Plays beyond whole bases are left.

    Args:
        degree: p, of the reward.

    Source: ours.

    The standard error is that of the noise between repeats of the point, at least two of them.

    Cannot: see noise that two repeats do not show, such as that of rewards which are mostly 0.

    Example:
        >>> Orthonormal().least(size=10)
        20
    """

    def least(self, size: int) -> int:
        return self.degree * (size - 1) + 2

    def plan(self, point: Tensor, plays: int, draw: torch.Generator) -> Plan[Estimate]:
        size, slope = len(point), torch.zeros_like(point)
        sweep = self.degree * (size - 1)
        bases = (plays - max(2, plays // 9)) // sweep if size > 1 else 0
        angles, weights = riesz(self.degree)
        for count in parts(bases, size * sweep):
            raw = torch.randn(count, size, size - 1, generator=draw, dtype=torch.float64)
            first = point[:, None].expand(count, size, 1)
            basis = torch.linalg.qr(torch.cat([first, raw], 2)).Q[:, :, 1:].mT  # (count, d - 1, d)
            cos, sin = angles.cos()[:, None, None, None], angles.sin()[:, None, None, None]
            actions = cos * point + sin * basis  # (angles, count, d - 1, d)
            heard = (yield Batch(actions.flatten(0, 2), choice=point))[:, 0]
            along = torch.einsum("t,tcj->cj", weights, heard.reshape(actions.shape[:3]))
            slope = slope + torch.einsum("cj,cjd->d", along, basis) / bases
        own = max(2, min(plays - bases * sweep, plays // 9))
        radial = (yield Batch(point[None], own, choice=point))[0]
        # Of equal noise in all directions, what falls upon a coordinate is the share of the tangent space.
        across = (1 - point.square()).clamp(min=0) * weights.square().sum() / max(bases, 1)
        noise = radial.std() * across.sqrt()
        return self._whole(point, slope, noise, radial, float(bases * sweep + own))
