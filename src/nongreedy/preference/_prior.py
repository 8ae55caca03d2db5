"""What is believed of utilities before the first answer: draws and densities of latent coordinates."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from ..errors import check_number, check_whole
from ._numbers import tensor


class Prior(abc.ABC):
    """A distribution of utilities, through latent coordinates in which it is easy to walk.

    Attributes:
        attributes: Of an item, which is how many numbers a utility has.
    """

    attributes: int

    @abc.abstractmethod
    def draws(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latent points, shape (count, attributes), and their weights, which sum to 1."""

    @abc.abstractmethod
    def log_density(self, latents: Tensor) -> Tensor:
        """Of latent points, shape (..., attributes), up to a constant: shape (...)."""

    def utilities(self, latents: Tensor) -> Tensor:
        """The utilities that latent points stand for, of their shape."""
        return latents

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What makes it this prior and no other."""


@final
@dataclass(frozen=True, eq=False)
class Gaussian(Prior):
    """Utilities u ~ N(mean, covariance).

    Args:
        mean: Shape (d,), in utility per unit of an attribute.
        covariance: Shape (d, d).

    Raises:
        ValueError: Other shapes, a number that is not finite, a covariance that is not positive definite.

    Example:
        >>> Gaussian.standard(3).attributes
        3
    """

    mean: Tensor
    covariance: Tensor
    factor: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        mean, covariance = tensor("mean", self.mean, 1), tensor("covariance", self.covariance, 2)
        if covariance.shape != (len(mean), len(mean)):
            raise ValueError(
                f"`covariance` must have the shape ({len(mean)}, {len(mean)}), but has "
                f"{tuple(covariance.shape)}."
            )
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed or not torch.allclose(covariance, covariance.T):
            raise ValueError(
                "`covariance` must be symmetric and positive definite, but its eigenvalues are "
                f"{torch.linalg.eigvals(covariance).real.tolist()!s:.120}. Add a small diagonal."
            )
        for name, value in (("mean", mean), ("covariance", covariance), ("factor", factor)):
            object.__setattr__(self, name, value)

    @classmethod
    def standard(cls, attributes: int, deviation: float = 1.0) -> Gaussian:
        """Independent and centred at zero."""
        check_whole("attributes", attributes)
        check_number("deviation", deviation)
        eye = torch.eye(attributes, dtype=torch.float64)
        return cls(torch.zeros(attributes, dtype=torch.float64), deviation**2 * eye)

    @property
    def attributes(self) -> int:
        return len(self.mean)

    def draws(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        normal = whitened(count, self.attributes, generator)
        return self.mean + normal @ self.factor.T, torch.full((count,), 1 / count).double()

    def log_density(self, latents: Tensor) -> Tensor:
        flat = (latents - self.mean).reshape(-1, self.attributes)
        whitened_ = torch.linalg.solve_triangular(self.factor, flat.T, upper=False)
        half = whitened_.square().sum(0) / 2 + self.factor.diagonal().log().sum()
        return -half.reshape(latents.shape[:-1])

    def to_json(self) -> dict[str, Any]:
        said = {"mean": self.mean.tolist(), "covariance": self.covariance.tolist()}
        return {"class": "Gaussian", **said}


@final
@dataclass(frozen=True, eq=False)
class Mixture(Prior):
    """Kinds of people: one of several Gaussians, with a share each.

    Args:
        parts: Of the same number of attributes.
        shares: Positive; they are divided by their sum.

    Example:
        >>> Mixture([Gaussian.standard(2), Gaussian.standard(2, 3.0)], [3, 1]).shares.tolist()
        [0.75, 0.25]
    """

    parts: Sequence[Gaussian]
    shares: Tensor

    def __post_init__(self) -> None:
        shares = tensor("shares", self.shares, 1)
        if len(shares) != len(self.parts) or not (shares > 0).all():
            raise ValueError(
                f"`shares` must be a positive number for each of {len(self.parts)} parts, but got "
                f"{shares.tolist()}."
            )
        if len({part.attributes for part in self.parts}) != 1:
            sizes = [part.attributes for part in self.parts]
            raise ValueError(f"`parts` must have the same number of attributes, but got {sizes}.")
        object.__setattr__(self, "shares", shares / shares.sum())

    @property
    def attributes(self) -> int:
        return self.parts[0].attributes

    def draws(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        # As many of each part as its share asks for, two at least; weights make up for the rounding.
        counts = [max(2, round(count * float(share) / 2) * 2) for share in self.shares]
        counts[counts.index(max(counts))] += count - sum(counts)
        if min(counts) < 2:
            raise ValueError(f"{count} samples are too few for a mixture of {len(self.parts)}.")
        points = [part.draws(n, generator)[0] for part, n in zip(self.parts, counts, strict=True)]
        weights = [(s / n).repeat(n) for s, n in zip(self.shares, counts, strict=True)]
        return torch.cat(points), torch.cat(weights)

    def log_density(self, latents: Tensor) -> Tensor:
        each = torch.stack([part.log_density(latents) for part in self.parts], -1)
        return torch.logsumexp(each + self.shares.log(), -1)

    def to_json(self) -> dict[str, Any]:
        parts = [part.to_json() for part in self.parts]
        return {"class": "Mixture", "parts": parts, "shares": self.shares.tolist()}


@final
@dataclass(frozen=True)
class Tradeoffs(Prior):
    r"""Weights of attributes that are all better when larger: positive, of sum 1.

    .. math:: u = \mathrm{softmax}(z), \qquad z \sim N(0, s^2 I)

    Args:
        attributes: How many, at least 2.
        spread: s. At 1.28 it is nearest to the uniform distribution over all weights; larger ones expect
            that a few attributes decide.

    Example:
        >>> Tradeoffs(3).attributes
        3
    """

    attributes: int
    spread: float = 1.28

    def __post_init__(self) -> None:
        check_whole("attributes", self.attributes, 2)
        check_number("spread", self.spread)

    def draws(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        normal = whitened(count, self.attributes, generator)
        return self.spread * normal, torch.full((count,), 1 / count).double()

    def log_density(self, latents: Tensor) -> Tensor:
        return -(latents / self.spread).square().sum(-1) / 2

    def utilities(self, latents: Tensor) -> Tensor:
        return torch.softmax(latents, -1)

    def to_json(self) -> dict[str, Any]:
        return {"class": "Tradeoffs", "attributes": self.attributes, "spread": self.spread}


def whitened(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Standard normal draws, shape (count, size): each with its opposite, and their covariance the
    identity where there are enough of them to be made so."""
    half = torch.randn((count + 1) // 2, size, generator=generator, dtype=torch.float64)
    draws = torch.cat([half, -half])[:count]
    if len(half) < 2 * size or count % 2:
        return draws
    factor = torch.linalg.cholesky(draws.T @ draws / count)
    return torch.linalg.solve_triangular(factor, draws.T, upper=False).T.contiguous()


def stratified(count: int, generator: torch.Generator) -> Tensor:
    """Standard normal draws, shape (count,), one from each of as many slices of equal probability."""
    place = torch.rand(count, generator=generator, dtype=torch.float64)
    share = (torch.randperm(count, generator=generator) + place) / count
    # The ends of float64 would be infinite.
    return math.sqrt(2) * torch.erfinv((2 * share - 1).clamp(-1 + 1e-15, 1 - 1e-15))
