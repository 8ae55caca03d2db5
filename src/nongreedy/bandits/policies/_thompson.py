"""Thompson sampling with a model of low rank."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_number, check_whole
from .._batch import Batch, Plan
from ..problems import Ball
from ._optimism import lifted
from ._policy import Policy


@dataclass(frozen=True)
class LowRankThompson(Policy):
    r"""Draw a matrix from its posterior, keep its k largest singular values, play its best action.

    .. math:: \theta \sim N(\hat\theta, \sigma^2 V^{-1}),\qquad \hat\theta = V^{-1}\sum_i r_i\phi(a_i)

    Args:
        rank: k.
        noise: :math:`\sigma`.
        ridge: Of the prior.
        batch: Draws between two updates of the posterior.

    Source: Thompson 1933; Agrawal & Goyal 2013 for linear models. The truncation is a heuristic.

    Cannot: promise a rate; its updates cost the cube of the number of features.

    Example:
        >>> LowRankThompson(rank=2).batch
        16
    """

    rank: int = 1
    noise: float = 1.0
    ridge: float = 1.0
    batch: int = 16

    def __post_init__(self) -> None:
        check_whole("rank", self.rank)
        check_whole("batch", self.batch)
        check_number("noise", self.noise)
        check_number("ridge", self.ridge)

    def check(self, ball: Ball) -> None:
        if ball.slots != 1 or len(ball.shape) > 2:
            raise ValueError(f"LowRankThompson plays vectors or matrices, but actions have {ball}.")

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        self.check(ball)
        size = lifted(torch.zeros(1, *ball.shape)).shape[1]
        precision = self.ridge * torch.eye(size, dtype=torch.float64)
        moment, choice = torch.zeros(size, dtype=torch.float64), None
        while True:
            factor = torch.linalg.cholesky(precision)
            mean = torch.cholesky_solve(moment[:, None], factor)[:, 0]
            normal = torch.randn(size, self.batch, generator=draw, dtype=torch.float64)
            spread = torch.linalg.solve_triangular(factor.T, normal, upper=True)
            drawn = torch.stack(
                [self._best(row, ball) for row in (mean[:, None] + self.noise * spread).T]
            )
            heard = (yield Batch(drawn, choice=choice))[:, 0]
            features = lifted(drawn)
            precision = precision + features.T @ features
            moment = moment + features.T @ heard
            choice = self._best(torch.cholesky_solve(
                moment[:, None], torch.linalg.cholesky(precision))[:, 0], ball)  # fmt: skip

    def _best(self, features: Tensor, ball: Ball) -> Tensor:
        """The best action of the matrix with these entries, once cut to its rank."""
        if len(ball.shape) == 2:
            left, values, right = torch.linalg.svd(
                features.reshape(ball.shape), full_matrices=False
            )
            kept = left[:, : self.rank] * values[: self.rank] @ right[: self.rank]
            return kept / kept.norm()
        rows, columns = torch.triu_indices(ball.size, ball.size)
        half = torch.zeros(ball.size, ball.size, dtype=torch.float64)
        half[rows, columns] = features * torch.where(rows == columns, 1.0, 0.5**0.5)
        half = torch.triu(half) + torch.triu(half, 1).T
        # The best vector of a matrix is that of its cut, if its largest eigenvalue is among the kept.
        return torch.linalg.eigh(half)[1][:, -1]
