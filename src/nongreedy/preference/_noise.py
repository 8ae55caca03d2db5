"""How noisy answers are: a scale in units of utility, known or with a prior of its own."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from ..errors import check_number
from ._prior import stratified


class Noise(abc.ABC):
    """The scale tau of answers.

    Attributes:
        latents: How many latent coordinates a sample carries for it: none or one.
    """

    latents: int

    @abc.abstractmethod
    def draws(self, count: int, generator: torch.Generator) -> Tensor:
        """Shape (count, latents)."""

    @abc.abstractmethod
    def log_density(self, latents: Tensor) -> Tensor:
        """Of shape (..., latents), up to a constant: shape (...)."""

    @abc.abstractmethod
    def scales(self, latents: Tensor) -> Tensor:
        """Tau of each sample, shape (...), in units of utility."""

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What makes it this noise and no other."""


@final
@dataclass(frozen=True)
class KnownNoise(Noise):
    """The same scale for everybody.

    Example:
        >>> KnownNoise(0.2).scales(torch.zeros(2, 0)).tolist()
        [0.2, 0.2]
    """

    scale: float
    latents = 0

    def __post_init__(self) -> None:
        check_number("scale", self.scale, " For answers without noise there is Noiseless().")

    def draws(self, count: int, generator: torch.Generator) -> Tensor:
        del generator
        return torch.zeros(count, 0, dtype=torch.float64)

    def log_density(self, latents: Tensor) -> Tensor:
        return latents.new_zeros(latents.shape[:-1])

    def scales(self, latents: Tensor) -> Tensor:
        return latents.new_full(latents.shape[:-1], self.scale, dtype=torch.float64)

    def to_json(self) -> dict[str, Any]:
        return {"class": "KnownNoise", "scale": self.scale}


@final
@dataclass(frozen=True)
class UncertainNoise(Noise):
    r"""A scale that answers tell of, too.

    .. math:: \log\tau \sim N(\log \mathrm{median}, \mathrm{spread}^2)

    Args:
        median: In units of utility.
        spread: Of the logarithm; at 1, two thirds of all people are within a factor of 2.7.

    Example:
        >>> UncertainNoise(1.0).scales(torch.zeros(2, 1)).tolist()
        [1.0, 1.0]
    """

    median: float
    spread: float = 1.0
    latents = 1

    def __post_init__(self) -> None:
        check_number("median", self.median)
        check_number("spread", self.spread)

    def draws(self, count: int, generator: torch.Generator) -> Tensor:
        return stratified(count, generator)[:, None]

    def log_density(self, latents: Tensor) -> Tensor:
        return -latents.square().sum(-1) / 2

    def scales(self, latents: Tensor) -> Tensor:
        # Beyond these a scale is none: answers are certain, or say nothing.
        return torch.exp(math.log(self.median) + self.spread * latents[..., 0].clamp(-12, 12))

    def to_json(self) -> dict[str, Any]:
        return {"class": "UncertainNoise", "median": self.median, "spread": self.spread}
