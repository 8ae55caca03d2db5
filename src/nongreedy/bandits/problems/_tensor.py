"""Rewards that are orthogonal tensors of one vector, or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_whole
from ...protocols import generator
from ...task._streams import PLANTED
from ._bandit import Bandit, as_float64, check_orthonormal, orthonormal
from ._sets import Ball


@dataclass(frozen=True)
class SymmetricTensorBandit(Bandit):
    r"""A homogeneous reward of degree p >= 3 with orthonormal components, on the unit ball.

    .. math:: f(a) = \sum_j \lambda_j (v_j^\top a)^p,\qquad \max f = \max_j \lambda_j

    For odd p a component's sign may be turned with its vector, so that the largest magnitude counts.

    Args:
        values: :math:`\lambda`, shape (k,).
        vectors: :math:`v_j` as orthonormal columns, shape (d, k).
        order: p.
        noise: Standard deviation of a reward's noise.

    Raises:
        ValueError: p < 3, or vectors that are not orthonormal.

    Source: arXiv:2107.04518, class SYM.

    Example:
        >>> SymmetricTensorBandit.planted(6, [1.0, 0.5], order=3, seed=0).optimum
        1.0
    """

    values: Tensor
    vectors: Tensor
    order: int = 3
    noise: float = 1.0

    def __post_init__(self) -> None:
        as_float64(self, values=self.values, vectors=self.vectors)
        check_whole("order", self.order, 3, " Of order 2 it is a QuadraticBandit.")
        if self.vectors.dim() != 2 or self.values.shape != self.vectors.shape[1:]:
            shapes = tuple(self.values.shape), tuple(self.vectors.shape)
            raise ValueError(
                f"`values` and `vectors` must have shapes (k,), (d, k), but got {shapes}."
            )
        check_orthonormal(self.vectors, "vectors")

    @classmethod
    def planted(
        cls, dimension: int, values: Sequence[float], order: int, seed: int, noise: float = 1.0
    ) -> SymmetricTensorBandit:
        """One with these values, in uniformly drawn directions."""
        vectors = orthonormal(dimension, len(values), generator(seed, PLANTED))
        return cls(torch.tensor(values, dtype=torch.float64), vectors, order, noise)

    @property
    def ball(self) -> Ball:
        return Ball((len(self.vectors),))

    def mean(self, actions: Tensor) -> Tensor:
        return (actions @ self.vectors) ** self.order @ self.values

    def best(self) -> tuple[float, Tensor]:
        values = self.values.abs() if self.order % 2 else self.values
        j = int(values.argmax())
        if values[j] <= 0:
            return 0.0, torch.zeros_like(self.vectors[:, j])
        return float(values[j]), self.vectors[:, j] * (
            self.values[j].sign() if self.order % 2 else 1
        )


@dataclass(frozen=True)
class TensorBandit(Bandit):
    r"""A reward that is linear in each of p vectors, with orthonormal components in each.

    .. math:: f(a_1 .. a_p) = \sum_j \lambda_j \prod_q v_{jq}^\top a_q,\qquad \max f = \max_j |\lambda_j|

    Args:
        values: :math:`\lambda`, shape (k,).
        vectors: For each slot orthonormal columns, shape (p, d, k).
        noise: Standard deviation of a reward's noise.

    Raises:
        ValueError: p < 2, or vectors that are not orthonormal.

    Source: arXiv:2107.04518, class ASYM.

    Example:
        >>> problem = TensorBandit.planted(4, [0.9], order=3, seed=0)
        >>> problem.optimum, problem.ball.shape
        (0.9, (3, 4))
    """

    values: Tensor
    vectors: Tensor
    noise: float = 1.0

    def __post_init__(self) -> None:
        as_float64(self, values=self.values, vectors=self.vectors)
        fits = self.vectors.dim() == 3 and self.values.shape == self.vectors.shape[2:]
        if not fits or len(self.vectors) < 2:
            shapes = tuple(self.values.shape), tuple(self.vectors.shape)
            raise ValueError(
                f"`values` and `vectors` must have shapes (k,), (p, d, k) with p >= 2, but got {shapes}."
            )
        check_orthonormal(self.vectors, "vectors")

    @classmethod
    def planted(
        cls, dimension: int, values: Sequence[float], order: int, seed: int, noise: float = 1.0
    ) -> TensorBandit:
        """One with these values, in uniformly drawn directions."""
        draw = generator(seed, PLANTED)
        vectors = [orthonormal(dimension, len(values), draw) for _ in range(order)]
        return cls(torch.tensor(values, dtype=torch.float64), torch.stack(vectors), noise)

    @property
    def ball(self) -> Ball:
        return Ball(tuple(self.vectors.shape[:2]), slots=len(self.vectors))

    def mean(self, actions: Tensor) -> Tensor:
        return torch.einsum("nqd,qdk->nqk", actions, self.vectors).prod(1) @ self.values

    def best(self) -> tuple[float, Tensor]:
        j = int(self.values.abs().argmax())
        action = self.vectors[:, :, j].clone()
        action[0] *= self.values[j].sign()
        return float(self.values[j].abs()), action
