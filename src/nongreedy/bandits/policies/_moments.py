"""The non-adaptive baseline: random actions and the top eigenvector of a moment of their rewards."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .._batch import Batch, Plan
from ..problems import Ball
from ..zeroth._sums import parts
from ._doubling import Doubling, Found
from ._policy import need_vector


@dataclass(frozen=True)
class _Moment:
    total: Tensor
    squares: Tensor
    count: int = 0


@dataclass(frozen=True)
class Moments(Doubling):
    r"""Uniform actions, and the top eigenvector of the moment of their rewards: nothing is adapted.

    .. math:: \frac{d(d+2)}{2n}\sum_i (r_i - \bar r)\, a_i a_i^\top \approx M + \text{a multiple of } I

    What random actions told is kept from one exploration to the next.

    Args:
        first: Plays of the first exploration; None: four for each dimension.

    Source: the estimator against which arXiv:2107.04518 sets adaptivity: d^3 plays where it takes d^2.

    Example:
        >>> from nongreedy import bandits
        >>> problem = bandits.QuadraticBandit.planted(5, [1.0], seed=0, noise=0.1)
        >>> bandits.play(problem, Moments(), rounds=10_000, seed=0).final > 0.9
        True
    """

    def check(self, ball: Ball) -> None:
        need_vector(self, ball)

    def explore(
        self, ball: Ball, state: _Moment | None, plays: int, draw: torch.Generator
    ) -> Plan[Found]:
        d = ball.size
        zero = torch.zeros(d, d, dtype=torch.float64)
        state, choice = state or _Moment(zero, torch.zeros((), dtype=torch.float64)), None
        if state.count:
            choice = torch.linalg.eigh(state.total)[1][:, -1]
        for count in parts(plays, d):
            actions = ball.sphere(count, draw)
            rewards = (yield Batch(actions, choice=choice))[:, 0]
            # Without the mean reward the noise is less; the identity does not turn an eigenvector.
            centred = rewards - rewards.mean()
            total = state.total + (actions * centred[:, None]).T @ actions
            state = _Moment(total, state.squares + centred.square().sum(), state.count + count)
        matrix = d * (d + 2) / 2 * state.total / state.count
        values, vectors = torch.linalg.eigh(matrix)
        # Each entry has a variance of about d^2/4 sigma^2 / n: so has each coordinate of an image.
        noise = d * (d * (d + 2) / 4) * float(state.squares) / state.count**2
        gap = float(values[-1] - values[:-1].mean()) if d > 1 else float(values[-1])
        error = min(1.0, noise / max(gap**2, 1e-300))
        return Found(state, vectors[:, -1] if error < 0.5 else None, error)
