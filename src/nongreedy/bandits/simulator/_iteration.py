"""Value iteration from the last step to the first, each step a quadratic bandit of its own."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_whole
from ...protocols import generator
from ...schedules import Value
from ...task._streams import ACTIONS, REWARDS
from .._batch import Batch, drive
from ..policies import SubspaceIteration
from ..policies._optimism import lifted
from ..problems import Ball
from ._process import QuadraticProcess

Answer = Callable[[Batch], Tensor]


class Regression(Value, abc.ABC):
    """Estimates the matrix of a quadratic from noisy values at points of its choice."""

    @abc.abstractmethod
    def matrix(self, ball: Ball, answer: Answer, samples: int, draw: torch.Generator) -> Tensor:
        """The matrix, shape (d, d), symmetric, from about so many samples."""


@dataclass(frozen=True)
class LowRank(Regression):
    """Subspace iteration: steps of doubling size, and the last one's image.

    Args:
        rank: k, an upper bound of the rank of all action values.
        steps: L.

    Source: arXiv:2107.04518.

    Example:
        >>> LowRank(rank=2).steps
        4
    """

    rank: int
    steps: int = 4

    def __post_init__(self) -> None:
        check_whole("rank", self.rank)
        check_whole("steps", self.steps)

    def matrix(self, ball: Ball, answer: Answer, samples: int, draw: torch.Generator) -> Tensor:
        policy = SubspaceIteration(rank=self.rank)
        width = policy.width(ball)
        plays = max(
            policy.estimator.least(ball.size), int(samples / width / (2 - 0.5 ** (self.steps - 1)))
        )
        return drive(policy.matrix(ball, plays, self.steps, draw), answer)


@dataclass(frozen=True)
class Lifted(Regression):
    """Least squares on all products of features at uniform points: what linear features come to.

    Args:
        rank: Kept of the solution; None: all of it.

    Example:
        >>> Lifted().rank is None
        True
    """

    rank: int | None = None

    def matrix(self, ball: Ball, answer: Answer, samples: int, draw: torch.Generator) -> Tensor:
        d = ball.size
        points = ball.sphere(max(samples, d * (d + 1) // 2), draw)
        values = answer(Batch(points))[:, 0]
        features = lifted(points)
        # A little ridge: with as many samples as features the system may be singular.
        gram = features.T @ features + 1e-6 * torch.eye(features.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(gram, features.T @ values)
        rows, columns = torch.triu_indices(d, d)
        half = torch.zeros(d, d, dtype=torch.float64)
        half[rows, columns] = solution * torch.where(rows == columns, 1.0, 0.5**0.5)
        whole = torch.triu(half) + torch.triu(half, 1).T
        return whole if self.rank is None else cut(whole, self.rank)


def cut(matrix: Tensor, rank: int) -> Tensor:
    """A symmetric matrix with its eigenvalues of largest magnitude alone."""
    values, vectors = torch.linalg.eigh(matrix)
    kept = values.abs().argsort(descending=True)[:rank]
    return (vectors[:, kept] * values[kept]) @ vectors[:, kept].T


@dataclass(frozen=True)
class Iterated:
    """What value iteration came to.

    Attributes:
        matrices: Estimates of M at each step, shape (H, d, d).
        samples: Calls of the simulator.
        gap: How far acting on them falls below the best return.
    """

    matrices: Tensor
    samples: int
    gap: float


def value_iteration(
    process: QuadraticProcess, regression: Regression, samples: int, seed: int = 0
) -> Iterated:
    r"""Estimate the action values of the last step, then of the one before, and so on.

    At each step the targets are :math:`r + \hat V_{h+1}(s')`, a quadratic of the features with noise,
    from a simulator that may be asked about any features.

    Args:
        process: Simulated.
        regression: How each step's matrix is estimated.
        samples: About how many calls for each step.
        seed: Of points and of the simulator.

    Example:
        >>> process = QuadraticProcess.planted(6, states=2, horizon=2, seed=0)
        >>> value_iteration(process, LowRank(rank=2), samples=20_000).gap < 0.1
        True
    """
    check_whole("samples", samples)
    draw, noise = generator(seed, ACTIONS), generator(seed, REWARDS)
    matrices = torch.zeros(process.horizon, *process.reward.shape, dtype=torch.float64)
    # One more place for the state in which nothing is left, number -1.
    states, spent = len(process.transitions), 0
    values = torch.zeros(states + 1, dtype=torch.float64)
    for h in reversed(range(process.horizon)):

        def answer(batch: Batch, values: Tensor = values) -> Tensor:
            nonlocal spent
            spent += batch.plays
            features = batch.actions.repeat_interleave(batch.repeats, 0)
            rewards, reached = process.simulate(features, noise)
            return (rewards + values[reached]).reshape(-1, batch.repeats)

        matrices[h] = regression.matrix(process.ball, answer, samples, draw)
        best = [process.best_value(matrices[h], s)[0] for s in range(states)]
        values = torch.tensor([*best, 0.0], dtype=torch.float64)
    return Iterated(matrices, spent, process.gap(matrices))
