"""Quadratic rewards of a vector, and linear rewards of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...protocols import generator
from ...task._streams import PLANTED
from ._bandit import Bandit, as_float64, orthonormal
from ._sets import Ball

_ROUNDING = 1e-13  # of an eigenvalue that is zero, as a share of the largest magnitude


@dataclass(frozen=True)
class QuadraticBandit(Bandit):
    r"""A quadratic reward on the unit ball: the dominant eigenvector is the best action.

    .. math:: f(a) = a^\top M a,\qquad \max f = \max(\lambda_1, 0)

    Args:
        matrix: Symmetric, shape (d, d), of any signs.
        noise: Standard deviation of a reward's noise.

    Raises:
        ValueError: A matrix that is not square, symmetric or finite.

    Source: arXiv:2107.04518, class EV.

    Example:
        >>> problem = QuadraticBandit.planted(4, [1.0, 0.5], seed=0)
        >>> round(problem.optimum, 6), tuple(problem.ball.shape)
        (1.0, (4,))
    """

    matrix: Tensor
    noise: float = 1.0

    def __post_init__(self) -> None:
        as_float64(self, matrix=self.matrix)
        m = self.matrix
        if m.dim() != 2 or m.shape[0] != m.shape[1] or not torch.allclose(m, m.T, atol=1e-10):
            raise ValueError(
                f"`matrix` must be square and symmetric, but has shape {tuple(m.shape)}. Of another, a'Ma "
                "is that of (M + M')/2; as a reward of matrices it is a LowRankBandit."
            )

    @classmethod
    def planted(
        cls, dimension: int, eigenvalues: Sequence[float], seed: int, noise: float = 1.0
    ) -> QuadraticBandit:
        """One with these eigenvalues, the others zero, in uniformly drawn directions."""
        vectors = orthonormal(dimension, len(eigenvalues), generator(seed, PLANTED))
        matrix = (vectors * torch.tensor(eigenvalues, dtype=torch.float64)) @ vectors.T
        return cls((matrix + matrix.T) / 2, noise)

    @property
    def ball(self) -> Ball:
        return Ball((len(self.matrix),))

    def mean(self, actions: Tensor) -> Tensor:
        return ((actions @ self.matrix) * actions).sum(-1)

    def best(self) -> tuple[float, Tensor]:
        values, vectors = torch.linalg.eigh(self.matrix)
        if values[-1] <= _ROUNDING * values.abs().max():  # of rank-deficient matrices
            return 0.0, torch.zeros_like(vectors[:, -1])
        return float(values[-1]), vectors[:, -1]


@dataclass(frozen=True)
class LowRankBandit(Bandit):
    r"""A linear reward of a matrix of Frobenius norm at most 1: the best action is M over its norm.

    .. math:: f(A) = \langle M, A\rangle,\qquad \max f = \|M\|_F

    Args:
        matrix: Shape (d, d'), of low rank if policies for it are to help.
        noise: Standard deviation of a reward's noise.

    Source: arXiv:2107.04518, class LR.

    Example:
        >>> problem = LowRankBandit.planted((5, 3), [0.8, 0.6], seed=0)
        >>> round(problem.optimum, 6)
        1.0
    """

    matrix: Tensor
    noise: float = 1.0

    def __post_init__(self) -> None:
        as_float64(self, matrix=self.matrix)
        if self.matrix.dim() != 2 or not bool(self.matrix.any()):
            raise ValueError(
                f"`matrix` must be a matrix other than zero: {tuple(self.matrix.shape)}."
            )

    @classmethod
    def planted(
        cls, shape: tuple[int, int], values: Sequence[float], seed: int, noise: float = 1.0
    ) -> LowRankBandit:
        """One with these singular values, in uniformly drawn directions."""
        draw = generator(seed, PLANTED)
        left, right = (orthonormal(size, len(values), draw) for size in shape)
        return cls((left * torch.tensor(values, dtype=torch.float64)) @ right.T, noise)

    @property
    def ball(self) -> Ball:
        return Ball(tuple(self.matrix.shape))

    def mean(self, actions: Tensor) -> Tensor:
        return actions.flatten(1) @ self.matrix.flatten()

    def best(self) -> tuple[float, Tensor]:
        norm = self.matrix.norm()
        return float(norm), self.matrix / norm
