"""Perturbations: where the copies of an evolutionary step stand around the present parameters."""

from __future__ import annotations

import abc
from typing import final

import torch
from torch import Tensor

from ..task._data_plan import COPIES, generator
from ._run import Run

VALIDATION_GRADIENT = "validation_gradient"
DRAWS = {"rademacher": torch.sign, "gaussian": lambda normal: normal}
NOISES = (*DRAWS, VALIDATION_GRADIENT)


class Perturbations(abc.ABC):
    r"""The noise :math:`\epsilon_k`, shape (P,), of copy k: made anew at each call, never stored.

    Attributes:
        count: K.
        power: :math:`\eta_\mathrm{eff} \tau`: what the one-step hypergradient at unit learning rate
            is multiplied by, times the temperature.
    """

    count: int
    power: float

    @abc.abstractmethod
    def __call__(self, k: int) -> Tensor:
        """The noise of copy k."""

    def mean(self, weights: Tensor) -> Tensor:
        r""":math:`\sum_k w_k \epsilon_k`, one copy after the other."""
        total = float(weights[0]) * self(0)
        for k in range(1, self.count):
            total.add_(self(k), alpha=float(weights[k]))
        return total


@final
class Drawn(Perturbations):
    r"""Random noise, a function of (seed, step, k).

    .. math:: E[h] = \frac{\sigma^2 (K - 1)}{K \tau} h_\mathrm{T1T2}, \qquad
              \frac{\sigma^2}{\tau} h_\mathrm{T1T2} \text{ for antithetic pairs}

    Args:
        kind: A name in `DRAWS`.
        mask: Ones where parameters are perturbed, shape (P,), or None for all.
        antithetic: Copies come in pairs of opposite noise, so that their mean is zero exactly.
    """

    def __init__(
        self,
        run: Run,
        step: int,
        kind: str,
        count: int,
        sigma: float,
        mask: Tensor | None,
        antithetic: bool,
    ):
        self._run, self._step, self._draw, self._sigma = run, step, DRAWS[kind], sigma
        self._mask, self._antithetic, self.count = mask, antithetic, count
        self.power = sigma**2 * (1.0 if antithetic else (count - 1) / count)

    def __call__(self, k: int) -> Tensor:
        number, opposite = divmod(k, 2) if self._antithetic else (k, 0)
        source = generator(self._run.seed, COPIES, self._step, number)
        size = sum(self._run.module.sizes)
        normal = torch.randn(size, generator=source, dtype=self._run.dtype)
        noise = self._draw(normal).mul_(-self._sigma if opposite else self._sigma)
        noise = noise.to(self._run.task.device)
        return noise if self._mask is None else noise * self._mask


@final
class Opposite(Perturbations):
    r"""Both ways along one direction: :math:`\epsilon = \pm \delta\, g / |g|`.

    Along the validation gradient the copies see exactly what the one-step hypergradient asks for:
    DARTS' central difference in evolutionary form (arXiv:1806.09055).

    Args:
        direction: g, shape (P,), not zero.
    """

    count = 2

    def __init__(self, direction: Tensor, delta: float):
        self._noise, self.power = direction * (delta / direction.norm()), delta**2

    def __call__(self, k: int) -> Tensor:
        return -self._noise if k else self._noise.clone()
