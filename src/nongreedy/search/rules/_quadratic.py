"""A Bayesian quadratic model of the validation loss, from all values and hypergradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from ._observation import Observation

# All relative to the loss at hand, and per outer step: how networks' losses depend on decades of
# learning rates and the like. Found on other problems than those that judge it.
_SLOPE = 0.35  # standard deviation of a slope
_CURVATURE, _CURVATURE_ERROR = 0.17, 0.14  # of one coefficient: mean and standard deviation
_TOGETHER, _TOGETHER_ERROR = 0.08, 0.07  # of two that act together, such as two learning rates
_FLATTEST = 0.015  # curvature that a step relies on
_VALUE, _SEED = 1.5, 0.01  # standard deviations of the level, and of a seed's own
_SEEDS_DIFFER = 0.3  # the latter, before it is estimated
_LEAST_REACH = 1.2  # how far away runs still say something, in outer steps
_WORST = 1.0  # above the least of its seed; what lies higher says nothing of the shape of a valley
_UPHILL = 0.1  # relative error of what a loss is above that: valleys are no parabolas
_STEEPEST = 2.0
_MOST = 200  # observations, the latest: with thousands, memory and time would grow without end
_BENT = 0.3  # relative error of a slope, of curvature that changes
_VALUE_NOISE, _SLOPE_NOISE = 0.004, 0.03
_WEIGHTS = 4.0, 2.0  # how many values, and slopes per coefficient, the noise above counts as
_TAIL = 3.0  # degrees of freedom of a sweep's noise: a chaotic run's is wrong as a whole


@final
@dataclass(frozen=True)
class Prior:
    """What is expected of coefficients before anything was run.

    Args:
        widths: Decades (or natural units) of an outer step of each, shape (d,).
        together: Which act alike, such as learning rates and momentum, shape (d,).
    """

    widths: Tensor
    together: Tensor

    @property
    def curvature(self) -> Tensor:
        """Mean of the Hessian, relative to the loss, shape (d, d)."""
        acting = self.together * self.widths
        full = _TOGETHER * acting[:, None] * acting
        return full - torch.diag(full.diagonal()) + torch.diag(_CURVATURE * self.widths**2)


@final
class Quadratic:
    r"""The posterior of a local quadratic, given all observations near its centre.

    .. math:: L_s(x) \approx L_0 + z_s + g \cdot e + \tfrac12 e^\top H e, \qquad e = x - c

    with an offset :math:`z_s` per seed. Values and slopes count less the farther away they are, by
    :math:`1 + (|e|_\infty / r)^2`, and with noise that is estimated from what they leave over: of values, of
    seeds, of slopes, and of each sweep as a whole, by Student's t, so that one from a chaotic run yields to
    values and to other sweeps.

    Args:
        observations: :func:`relative`, at least one of them finite, in the order of their making.
        centre: c, shape (d,).
        radius: r, of the trust region.
        prior: What is expected.
    """

    def __init__(
        self,
        observations: Sequence[Observation],
        centre: Tensor,
        radius: float,
        prior: Prior,
    ):
        self.centre, self.radius, self.prior = centre, radius, prior
        self.size = len(centre)
        self._pairs = torch.triu_indices(self.size, self.size, 1)
        self._near = self._chosen(observations)
        seeds = sorted({o.seed for o in self._near})
        self._seeds = {seed: k for k, seed in enumerate(seeds)}
        self.value_noise, self.slope_noise = _VALUE_NOISE, _SLOPE_NOISE
        self.seed_noise = _SEEDS_DIFFER
        self._doubt = torch.ones(len(self._near) + 1, dtype=torch.float64)  # of each, and of values
        for _ in range(3):
            self._solve()
            self._weigh_noise()

    def _chosen(self, observations: Sequence[Observation]) -> list[Observation]:
        reach = max(2 * self.radius, _LEAST_REACH)
        near = [o for o in observations
                if math.isfinite(o.loss) and self._distance(o.place) <= reach]  # fmt: skip
        least = dict[int, float]()
        for o in near:
            least[o.seed] = min(o.loss, least.get(o.seed, math.inf))
        self._least = least
        return [replace(o, loss=min(o.loss, least[o.seed] + _WORST)) for o in near][-_MOST:]

    def _distance(self, place: Tensor) -> float:
        return float((place - self.centre).abs().max()) if self.size else 0.0

    def _far(self, place: Tensor) -> float:
        return 1 + (self._distance(place) / self.radius) ** 2

    def features(self, e: Tensor) -> Tensor:
        """What the loss is linear in: 1, e, its squares and products."""
        i, j = self._pairs
        return torch.cat([torch.ones(1, dtype=e.dtype), e, e * e / 2, e[i] * e[j]])

    def _slopes(self, e: Tensor) -> Tensor:
        """Derivatives of the features, a row for each coefficient."""
        d, (i, j), count = self.size, self._pairs, self._pairs.shape[1]
        pairs, places = torch.zeros(d, count, dtype=e.dtype), torch.arange(count)
        pairs[i, places], pairs[j, places] = e[j], e[i]
        eye = torch.eye(d, dtype=e.dtype)
        return torch.cat([torch.zeros(d, 1, dtype=e.dtype), eye, torch.diag(e), pairs], 1)

    @cached_property
    def _rows(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Features and seeds, what was told, of how far, how far uphill, and of which sweep; -1: a value."""
        rows, told, far, sweep = list[Tensor](), list[Tensor](), list[float](), list[int]()
        uphill = list[float]()
        for index, o in enumerate(self._near):
            e, own = o.place - self.centre, torch.zeros(len(self._seeds), dtype=torch.float64)
            own[self._seeds[o.seed]] = 1.0
            rows.append(torch.cat([self.features(e), own])[None])
            told.append(torch.tensor([o.loss], dtype=torch.float64))
            count = 0
            if o.slope is not None:
                known = ~o.slope.isnan()
                count = int(known.sum())
                none = torch.zeros(count, len(self._seeds), dtype=torch.float64)
                rows.append(torch.cat([self._slopes(e)[known], none], 1))
                told.append(o.slope[known].clamp(-_STEEPEST, _STEEPEST))
            far += [self._far(o.place)] * (1 + count)
            uphill += [o.loss - self._least[o.seed]] * (1 + count)
            sweep += [-1, *[index] * count]
        distances, heights = torch.tensor([far, uphill], dtype=torch.float64)
        return torch.cat(rows), torch.cat(told), distances, heights, torch.tensor(sweep)

    @property
    def _expected(self) -> tuple[Tensor, Tensor]:
        """Means and standard deviations before anything was run."""
        widths, together = self.prior.widths, self.prior.together
        (i, j), seeds = self._pairs, len(self._seeds)
        level = min(o.loss for o in self._near)
        both = together[i] * together[j] * widths[i] * widths[j]
        one, none = torch.ones(1, dtype=torch.float64), torch.zeros(seeds, dtype=torch.float64)
        means = [level * one, 0 * widths, _CURVATURE * widths**2, _TOGETHER * both, none]
        errors = [
            _VALUE * one, _SLOPE * widths, _CURVATURE_ERROR * widths**2,
            _TOGETHER_ERROR * widths[i] * widths[j], none + self.seed_noise,
        ]  # fmt: skip
        return torch.cat(means), torch.cat(errors)

    def _solve(self) -> None:
        rows, told, far, uphill, sweep = self._rows
        errors = self._errors = torch.where(
            sweep >= 0,
            (self.slope_noise * far.sqrt() + _BENT * told.abs()) * self._doubt[sweep],
            self.value_noise * far.sqrt() + _UPHILL * uphill,
        )
        means, deviations = self._expected
        weighted = rows / errors[:, None]
        precision = torch.diag(deviations**-2) + weighted.T @ weighted
        factor = torch.linalg.cholesky(precision)
        right = means / deviations**2 + weighted.T @ (told / errors)
        self._found = torch.cholesky_solve(right[:, None], factor)[:, 0]
        self._covariance = torch.cholesky_inverse(factor)

    def _weigh_noise(self) -> None:
        """Noise as what is left over says, and the usual one as so many observations more."""
        rows, told, far, _, sweep = self._rows
        sloped, over = sweep >= 0, (told - rows @ self._found).square()
        for index in sweep[sloped].unique():
            mask = sweep == index
            surprise = (over[mask] / self._errors[mask].square()).sum() * self._doubt[index] ** 2
            doubt = (_TAIL + surprise) / (_TAIL + mask.sum())
            self._doubt[index] = doubt.clamp(min=1.0).sqrt()
        values = over * (self.value_noise / self._errors).square()
        left = torch.where(sloped, over / (far * self._doubt[sweep].square()), values)
        calm = sloped & (told.abs() < 4 * _BENT * _STEEPEST / 4)
        for name, usual, mask, weight in (
            ("value_noise", _VALUE_NOISE, ~sloped, _WEIGHTS[0]),
            ("slope_noise", _SLOPE_NOISE, calm, _WEIGHTS[1] * self.size),
        ):
            total = weight * usual**2 + 1.3 * float(left[mask].sum())
            setattr(self, name, math.sqrt(total / (weight + int(mask.sum()) or 1)))
        offsets = self._found[len(self._found) - len(self._seeds) :].square().sum()
        total = _WEIGHTS[0] * _SEED**2 + float(offsets)
        self.seed_noise = math.sqrt(total / (_WEIGHTS[0] + len(self._seeds)))

    @property
    def slope(self) -> Tensor:
        """g, per outer step, relative to the scale."""
        return self._found[1 : 1 + self.size]

    @property
    def curvature(self) -> Tensor:
        """H, with eigenvalues that a step can rely on."""
        d, (i, j) = self.size, self._pairs
        full = torch.diag(self._found[1 + d : 1 + 2 * d])
        full[i, j] = self._found[1 + 2 * d : 1 + 2 * d + len(i)]
        full[j, i] = full[i, j]
        values, vectors = torch.linalg.eigh(full)
        return vectors @ torch.diag(values.clamp(min=_FLATTEST)) @ vectors.T

    def change(self, place: Tensor) -> tuple[float, float]:
        """Of the loss from the centre to a place: expected, and its standard deviation."""
        features = self.features(place - self.centre)
        features[0] = 0.0
        count = len(features)
        covariance = self._covariance[:count, :count]
        spread = math.sqrt(max(float(features @ covariance @ features), 0.0))
        return float(features @ self._found[:count]), spread

    def best(self, low: Tensor, high: Tensor) -> Tensor:
        """The place of the least expected loss between two corners, by projected gradients."""
        if not self.size:
            return self.centre
        slope, curvature = self.slope, self.curvature
        rate = 1 / float(torch.linalg.eigvalsh(curvature)[-1])
        e = torch.zeros_like(self.centre)
        for _ in range(300):
            e = torch.clamp(
                e - rate * (slope + curvature @ e), low - self.centre, high - self.centre
            )
        return self.centre + e
