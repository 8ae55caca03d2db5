"""Rewards that are two-layer networks with powers for activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import check_whole
from ...protocols import generator
from ...task._streams import PLANTED
from ._ascent import ascend
from ._bandit import Bandit, as_float64
from ._sets import Ball


@dataclass(frozen=True)
class PolynomialBandit(Bandit):
    r"""A network of k units with powers for activations, without noise unless asked for.

    .. math:: f(a) = \sum_i \lambda_i (v_i^\top a)^{p_i}

    Args:
        values: :math:`\lambda`, shape (k,).
        vectors: :math:`v_i` as columns, shape (d, k); of any lengths and angles.
        degrees: :math:`p_i`, k whole numbers.
        noise: Standard deviation of a reward's noise.

    Raises:
        ValueError: Shapes or degrees that do not fit.

    Source: arXiv:2107.04518, class P.

    Cannot: certify its optimum, which is the best of 64 ascents over the ball.

    Example:
        >>> PolynomialBandit.planted(10, [2, 2], seed=0).ball.shape
        (10,)
    """

    values: Tensor
    vectors: Tensor
    degrees: tuple[int, ...]
    noise: float = 0.0
    _best: list[tuple[float, Tensor]] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        as_float64(self, values=self.values, vectors=self.vectors)
        object.__setattr__(self, "degrees", tuple(self.degrees))
        for degree in self.degrees:
            check_whole("degrees", degree)
        units = (len(self.degrees),)
        if self.vectors.dim() != 2 or not units == self.values.shape == self.vectors.shape[1:]:
            shapes = tuple(self.values.shape), tuple(self.vectors.shape), len(self.degrees)
            raise ValueError(f"Shapes must be (k,), (d, k) and k degrees, but are {shapes}.")

    @classmethod
    def planted(
        cls, dimension: int, degrees: Sequence[int], seed: int, noise: float = 0.0
    ) -> PolynomialBandit:
        """One with unit vectors uniformly drawn and values of either sign, 0.5 to 1.5 in size."""
        draw, units = generator(seed, PLANTED), len(degrees)
        vectors = Ball((dimension,)).sphere(units, draw).T
        sizes = 0.5 + torch.rand(units, generator=draw, dtype=torch.float64)
        signs = torch.randint(2, (units,), generator=draw) * 2 - 1
        return cls(sizes * signs, vectors, tuple(degrees), noise)

    @property
    def ball(self) -> Ball:
        return Ball((len(self.vectors),))

    def mean(self, actions: Tensor) -> Tensor:
        return (actions @ self.vectors) ** torch.tensor(self.degrees) @ self.values

    def gradient(self, actions: Tensor) -> Tensor:
        """Of the mean reward at each action, shape (n, d)."""
        powers = torch.tensor(self.degrees)
        slopes = powers * (actions @ self.vectors) ** (powers - 1).clamp(min=0)
        return (slopes * self.values) @ self.vectors.T

    def best(self) -> tuple[float, Tensor]:
        if not self._best:
            self._best.append(ascend(self.mean, self.gradient, self.ball))
        return self._best[0]
