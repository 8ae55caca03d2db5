"""Several directions at once: what the power method is where eigenvalues are close, and for matrices."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import check_whole
from .._batch import Plan
from ..problems import Ball
from ..zeroth import Estimator, GaussianDirections, Sphere, TangentSphere
from ..zeroth._linear import coefficients
from ._doubling import STEPS, Doubling, Found
from ._policy import need_vector

_SETTLED = 3.0  # times the standard error that two successive results may differ by


@dataclass(frozen=True)
class _Space:
    """Orthonormal columns, and the last result with its squared relative error."""

    columns: Tensor
    result: Tensor | None = None
    error: float = 1.0


@dataclass(frozen=True)
class SubspaceIteration(Doubling):
    r"""Subspace iteration for quadratic rewards: good rewards without a gap between eigenvalues.

    .. math:: Y = \widehat{MX},\qquad X \leftarrow \mathrm{QR}(Y),\qquad
        a = \arg\max_{\|a\|=1} a^\top Y X^\top a

    Args:
        rank: k, an upper bound of the rank of M; the subspace has 2k dimensions.
        first: Plays of the first step for each column; None: four for each dimension.
        estimator: Of the gradient at a column; its degree must be 2.

    Source: arXiv:2107.04518, gap-free version; doubling and stopping ours.

    Cannot: gain by a rank that is far too large: each column costs as much as the power method.

    Example:
        >>> from nongreedy import bandits
        >>> problem = bandits.QuadraticBandit.planted(6, [1.0, 1.0], seed=0, noise=0.1)
        >>> bandits.play(problem, SubspaceIteration(rank=2), rounds=20_000, seed=0).final > 0.9
        True
    """

    rank: int = 1
    estimator: Estimator = field(default_factory=TangentSphere)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("rank", self.rank)

    def check(self, ball: Ball) -> None:
        need_vector(self, ball)
        if self.estimator.degree != 2:
            raise ValueError(f"`estimator` must have degree 2, but has {self.estimator.degree}.")

    def explore(
        self, ball: Ball, state: _Space | None, plays: int, draw: torch.Generator
    ) -> Plan[Found]:
        plays = max(plays, self.estimator.least(ball.size))
        width = self.width(ball)
        space, positive = state or _Space(basis(ball.size, width, draw)), False
        for _ in range(STEPS):
            x, before = space.columns, space
            y, noise = yield from self._image(x, plays, draw)
            symmetric = (y @ x.T + x @ y.T) / 2
            values, vectors = torch.linalg.eigh(symmetric)
            positive = bool(values[-1] > 0)
            # Of the noise of all columns, one direction's share.
            error = min(1.0, noise / width / max(float(values[-1]) ** 2, 1e-300))
            space = _Space(torch.linalg.qr(y).Q, vectors[:, -1], error)
            if _settled(before, space, _reward_gap(before, symmetric, float(values[-1]))):
                break
        found = positive and space.error < 0.5
        return Found(space, space.result if found else None, space.error)

    def width(self, ball: Ball) -> int:
        """Columns of the subspace."""
        return min(2 * self.rank, ball.size)

    def matrix(self, ball: Ball, plays: int, steps: int, draw: torch.Generator) -> Plan[Tensor]:
        """M itself, of its rank, shape (d, d), from so many steps: the last has `plays` for each column,
        and each before it half as many as the next."""
        x = basis(ball.size, self.width(ball), draw)
        y = x
        for left in reversed(range(steps)):
            x = torch.linalg.qr(y).Q
            count = max(plays // 2**left, self.estimator.least(ball.size))
            y, _ = yield from self._image(x, count, draw)
        # Within the subspace M is seen twice, across it once from its own side.
        seen = x @ ((x.T @ y + y.T @ x) / 2) @ x.T
        across = (y - x @ (x.T @ y)) @ x.T
        values, vectors = torch.linalg.eigh(seen + across + across.T)
        kept = values.abs().argsort(descending=True)[: self.rank]
        return (vectors[:, kept] * values[kept]) @ vectors[:, kept].T

    def _image(self, x: Tensor, plays: int, draw: torch.Generator) -> Plan[tuple[Tensor, float]]:
        """M times each column, and the sum of the squared standard errors."""
        images, noise = [], 0.0
        for column in x.T:
            told = yield from self.estimator.plan(column, plays, draw)
            images.append(told.gradient / 2)
            noise += float(told.standard_error.square().sum()) / 4
        return torch.stack(images, 1), noise


def _reward_gap(before: _Space, symmetric: Tensor, best: float) -> float:
    """By how much the last result falls short of the best, as a share of it: directions in a level
    eigenspace may turn for ever."""
    if before.result is None or best <= 0:
        return 1.0
    return max(0.0, 1 - float(before.result @ symmetric @ before.result) / best)


@dataclass(frozen=True)
class LowRankPower(Doubling):
    r"""Subspace iteration for rewards that are linear in a matrix of low rank.

    .. math:: Y_s = \widehat{M X_s} \text{ from plays } g X_s^\top,\qquad U = \mathrm{QR}(Y),\qquad
        Z_s = \widehat{M^\top U_s} \text{ from plays } U_s g^\top,\qquad A \propto U Z^\top

    Both sides take turns, so M need not be symmetric. Of :math:`UZ^\top` the k largest singular values are
    kept.

    Args:
        rank: k, an upper bound of the rank of M; the subspaces have 2k dimensions.
        first: Plays of the first step for each column; None: four for each entry of the matrix.
        directions: Of g: on the unit sphere, or the paper's Gaussian ones.

    Source: arXiv:2107.04518, class LR; alternation, truncation, doubling and stopping ours.

    Cannot: use a matrix of full rank; :class:`LinearUCB` loses nothing there.

    Example:
        >>> from nongreedy import bandits
        >>> problem = bandits.LowRankBandit.planted((6, 5), [1.0], seed=0, noise=0.1)
        >>> bandits.play(problem, LowRankPower(rank=1), rounds=20_000, seed=0).final > 0.9
        True
    """

    rank: int = 1
    directions: Sphere | GaussianDirections = field(default_factory=Sphere)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("rank", self.rank)

    def check(self, ball: Ball) -> None:
        if len(ball.shape) != 2 or ball.slots != 1:
            raise ValueError(
                f"LowRankPower plays matrices of Frobenius norm 1, but actions have shape {ball.shape} "
                f"with {ball.slots} slots."
            )

    def explore(
        self, ball: Ball, state: _Space | None, plays: int, draw: torch.Generator
    ) -> Plan[Found]:
        rows, columns = ball.shape
        width = min(2 * self.rank, rows, columns)
        space = state or _Space(basis(columns, width, draw))
        for _ in range(STEPS):
            before = space
            y, _ = yield from self._image(space, rows, plays, draw, transposed=False)
            u = torch.linalg.qr(y).Q
            z, noise = yield from self._image(
                _Space(u, space.result), columns, plays, draw, transposed=True
            )
            left, values, right = torch.linalg.svd(u @ z.T, full_matrices=False)
            kept = left[:, : self.rank] * values[: self.rank] @ right[: self.rank]
            size = float(kept.square().sum())
            # Of the noise of all columns, that of the ones kept.
            error = min(1.0, noise * min(1.0, self.rank / width) / max(size, 1e-300))
            result = kept / max(size, 1e-300) ** 0.5
            space, away = _Space(right[:width].T, result, error), 2.0
            if before.result is not None:
                away = float((result - before.result).square().sum())
            if _settled(before, space, away):
                break
        return Found(space, space.result if space.error < 0.5 else None, space.error)

    def _image(
        self, space: _Space, size: int, plays: int, draw: torch.Generator, transposed: bool
    ) -> Plan[tuple[Tensor, float]]:
        """M (or its transpose) times the columns, and its squared standard error."""
        images, noise = [], 0.0
        for column in space.columns.T:

            def action(g: Tensor, column: Tensor = column) -> Tensor:
                return column[:, None] * g[:, None, :] if transposed else g[:, :, None] * column

            image, error = yield from coefficients(
                self.directions, size, plays, action, draw, space.result
            )
            images.append(image)
            noise += float(error.square().sum())
        return torch.stack(images, 1), noise


def basis(size: int, width: int, draw: torch.Generator) -> Tensor:
    """Random orthonormal columns."""
    return torch.linalg.qr(torch.randn(size, width, generator=draw, dtype=torch.float64)).Q


def _settled(before: _Space, space: _Space, away: float) -> bool:
    """Whether the result stands out of the noise and has not moved more than that explains."""
    return space.error < 0.25 and away <= _SETTLED * (before.error + space.error)
