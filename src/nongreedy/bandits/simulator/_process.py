"""Decision processes with quadratic action values, which a simulator can be asked about."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_number, check_whole
from ...protocols import generator
from ...schedules import Value
from ...task._streams import PLANTED
from ..problems import Ball
from ..problems._bandit import orthonormal


@dataclass(frozen=True)
class QuadraticProcess(Value):
    r"""A process of H steps whose every Bellman image is quadratic in the features of state and action.

    The features :math:`\varphi` of an action lie in the unit ball of the subspace :math:`W_s` that belongs
    to its state; those of the first state fill the ball. With features :math:`\varphi` the mean reward is
    :math:`\varphi^\top R\varphi`, the next state is s with probability
    :math:`\varphi^\top B_s\varphi`, :math:`B_s \succeq 0`, and otherwise there is nothing left to gain.
    So for *every* value of the next states

    .. math:: Q_h(\varphi) = \varphi^\top M_h\varphi,\qquad M_h = R + \sum_s V_{h+1}(s) B_s,\qquad
        V_h(s) = \max(\lambda_1(P_s M_h P_s), 0)

    which is Bellman completeness, and the rank of :math:`M_h` is at most that of R and all B together.

    Args:
        reward: R, symmetric, shape (d, d).
        transitions: :math:`B_s`, positive semidefinite with a sum of at most I, shape (S, d, d).
        subspaces: Orthonormal columns that span :math:`W_s`, shape (S, d, w).
        horizon: H.
        noise: Standard deviation of a reward's noise.

    Raises:
        ValueError: Probabilities that are negative or add up to more than 1.

    Source: arXiv:2107.04518, section on reinforcement learning with a simulator; the construction is ours.

    Example:
        >>> process = QuadraticProcess.planted(6, states=2, horizon=3, seed=0)
        >>> values, matrices = process.solve()
        >>> tuple(values.shape), tuple(matrices.shape)
        ((4, 2), (3, 6, 6))
    """

    reward: Tensor
    transitions: Tensor
    subspaces: Tensor
    horizon: int = 3
    noise: float = 0.5

    def __post_init__(self) -> None:
        check_whole("horizon", self.horizon)
        check_number("noise", self.noise, zero=True)
        least = float(torch.linalg.eigvalsh(self.transitions).min())
        most = float(torch.linalg.eigvalsh(self.transitions.sum(0)).max())
        if not (least >= -1e-9 and most <= 1 + 1e-9):
            raise ValueError(
                "`transitions` must give probabilities: positive semidefinite, with a sum of at most the "
                f"identity, but eigenvalues are {least:.3g} at least, and {most:.3g} at most in the sum."
            )

    @classmethod
    def planted(
        cls, dimension: int, states: int, horizon: int, seed: int, noise: float = 0.5
    ) -> QuadraticProcess:
        """One of rank `states`: each state has a direction that leads there and is rewarded a little.

        Every state's actions are those of half of the dimensions, and its own direction may be among them.
        """
        draw = generator(seed, PLANTED)
        leads = orthonormal(dimension, states, draw)
        transitions = 0.9 * torch.einsum("is,js->sij", leads, leads)
        sizes = torch.linspace(0.5, 0.3, states, dtype=torch.float64)
        width = max(states, dimension // 2)
        subspaces = []
        for _ in range(states):
            # A rotation of the leading directions within the state's subspace, and others.
            others = orthonormal(dimension, dimension, draw)[:, : width - 1]
            mixed = leads @ torch.randn(states, 1, generator=draw, dtype=torch.float64)
            subspaces.append(torch.linalg.qr(torch.cat([mixed, others], 1)).Q)
        return cls((leads * sizes) @ leads.T, transitions, torch.stack(subspaces), horizon, noise)

    @property
    def ball(self) -> Ball:
        """Features that the simulator may be asked about: those of the first state."""
        return Ball((len(self.reward),))

    def simulate(self, features: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """A reward of each, and the next state, -1 where nothing is left: shapes (n,), (n,)."""
        self.ball.check(features)
        count = len(features)
        rewards = ((features @ self.reward) * features).sum(-1)
        rewards = rewards + self.noise * torch.randn(count, generator=draw, dtype=torch.float64)
        chances = torch.einsum("ni,sij,nj->ns", features, self.transitions, features).clamp(min=0)
        uniform = torch.rand(count, 1, generator=draw, dtype=torch.float64)
        passed = (uniform >= chances.cumsum(1)).sum(1)
        return rewards, torch.where(passed < len(self.transitions), passed, -1)

    def best_value(self, matrix: Tensor, state: int | None) -> tuple[float, Tensor]:
        """The largest value of a state under an action value's matrix, and the features that attain it.

        Args:
            state: None: the first, whose features fill the ball.
        """
        space = self.subspaces[state] if state is not None else torch.eye(len(matrix)).to(matrix)
        values, vectors = torch.linalg.eigh(space.T @ matrix @ space)
        if values[-1] <= 0:
            return 0.0, torch.zeros_like(matrix[0])
        return float(values[-1]), space @ vectors[:, -1]

    def backed_up(self, values: Tensor) -> Tensor:
        """M, from the values of the next states: shape (S,) -> (d, d)."""
        return self.reward + torch.einsum("s,sij->ij", values, self.transitions)

    def solve(self) -> tuple[Tensor, Tensor]:
        """Values of the states at each step, shape (H + 1, S), and M of each step, (H, d, d)."""
        count = len(self.transitions)
        values = torch.zeros(self.horizon + 1, count, dtype=torch.float64)
        matrices = torch.zeros(self.horizon, *self.reward.shape, dtype=torch.float64)
        for h in reversed(range(self.horizon)):
            matrices[h] = self.backed_up(values[h + 1])
            best = [self.best_value(matrices[h], s)[0] for s in range(count)]
            values[h] = torch.tensor(best, dtype=torch.float64)
        return values, matrices

    def gap(self, estimates: Tensor) -> float:
        """How far acting greedily on estimated matrices, shape (H, d, d), falls below the best return."""
        count = len(self.transitions)
        values = torch.zeros(count, dtype=torch.float64)
        returned = 0.0
        for h in reversed(range(self.horizon)):
            true = self.backed_up(values)
            acted = [self.best_value(estimates[h], s)[1] for s in range(count)]
            if h == 0:
                first = self.best_value(estimates[0], None)[1]
                returned = float(first @ true @ first)
            values = torch.stack([action @ true @ action for action in acted])
        _, matrices = self.solve()
        return self.best_value(matrices[0], None)[0] - returned
