"""Simulation: a policy against a problem whose best action is known."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import check_whole
from ..protocols import generator
from ..task._streams import ACTIONS, REWARDS
from ._batch import Batch
from .policies import Policy
from .problems import Bandit

_POINTS = 200  # of a regret curve


@dataclass(frozen=True)
class Played:
    """What a policy came to.

    Attributes:
        plays: Rising numbers of plays, shape (m,).
        regret: Summed over so many plays, shape (m,), the noise of rewards left out.
        chosen_at: Plays after which the policy changed its choice, shape (c,).
        chosen: Mean reward of each choice, shape (c,).
        optimum: The largest mean reward.
        choice: The last one; None where there was none.
    """

    plays: Tensor
    regret: Tensor
    chosen_at: Tensor
    chosen: Tensor
    optimum: float
    choice: Tensor | None

    @property
    def final(self) -> float:
        """Mean reward of the last choice, as a share of the best; 0 where there is no choice.

        Where the best is 0 there are no shares: 1 if the choice is as good, else 0.
        """
        if not len(self.chosen):
            return 0.0
        if self.optimum == 0:
            return float(self.chosen[-1] >= 0)
        return float(self.chosen[-1]) / self.optimum

    def reward_after(self, plays: Tensor) -> Tensor:
        """Mean reward of what would have been chosen after so many plays, 0 before any choice."""
        place = torch.searchsorted(self.chosen_at, plays, right=True)
        return torch.cat([torch.zeros(1, dtype=torch.float64), self.chosen])[place]


class _Curve:
    """Summed regret at places that lie evenly on a logarithmic axis."""

    def __init__(self, rounds: int):
        even = torch.logspace(0, torch.log10(torch.tensor(float(rounds))).item(), _POINTS)
        self.places = even.round().long().clamp(1, rounds).unique()
        self.regret = torch.zeros(len(self.places), dtype=torch.float64)
        self.played, self.total = 0, 0.0

    def add(self, regrets: Tensor, repeats: int) -> None:
        """Regrets of a batch's actions, each played so often, one action after the other."""
        plays = len(regrets) * repeats
        inside = (self.places > self.played) & (self.places <= self.played + plays)
        done = self.places[inside] - self.played  # plays of the batch, from 1
        sums = torch.cat([torch.zeros(1, dtype=torch.float64), regrets.cumsum(0)])
        whole = done // repeats
        rest = (done - whole * repeats) * regrets[whole.clamp(max=len(regrets) - 1)]
        self.regret[inside] = self.total + sums[whole] * repeats + rest
        self.played, self.total = self.played + plays, self.total + float(sums[-1]) * repeats


def play(problem: Bandit, policy: Policy, rounds: int, seed: int = 0) -> Played:
    r"""Let a policy play a problem, and sum its regret.

    .. math:: R(T) = \sum_{t \le T} f^* - f(a_t)

    Batches are simulated as a whole: a million plays take seconds. The policy's draws and the noise are
    streams of the seed of their own, so policies meet the same noise where they ask for as much.

    Args:
        problem: Whose mean reward is known.
        policy: Who plays.
        rounds: T; a batch that is under way then is cut off.
        seed: Of the draws and of the noise.

    Raises:
        ValueError: A policy that cannot play this set, or an action outside it.

    Example:
        >>> from nongreedy import bandits
        >>> problem = bandits.QuadraticBandit.planted(4, [1.0], seed=0)
        >>> played = play(problem, bandits.Uniform(), rounds=1000)
        >>> round(float(played.regret[-1]) / 1000, 2)  # random actions have a quarter of the best reward
        0.75
    """
    check_whole("rounds", rounds)
    policy.check(problem.ball)
    noise, curve = generator(seed, REWARDS), _Curve(rounds)
    plan = policy.plan(problem.ball, generator(seed, ACTIONS))
    optimum, held = problem.optimum, None
    at, chosen = list[int](), list[float]()
    batch = next(plan)
    while True:
        if batch.choice is not None and batch.choice is not held:
            held = batch.choice
            at.append(curve.played)
            chosen.append(float(problem.mean(held[None])))
        problem.ball.check(batch.actions)
        means = problem.mean(batch.actions)
        curve.add(optimum - means, batch.repeats)
        if curve.played >= rounds:
            break
        batch = plan.send(_heard(batch, means, problem.noise, noise))
    return Played(
        curve.places, curve.regret, torch.tensor(at), torch.tensor(chosen, dtype=torch.float64),
        optimum, held,
    )  # fmt: skip


def _heard(batch: Batch, means: Tensor, noise: float, draw: torch.Generator) -> Tensor:
    if not batch.heard:
        return torch.empty(0, dtype=torch.float64)
    shape = len(means), batch.repeats
    if not noise:
        return means[:, None].expand(shape)
    return means[:, None] + noise * torch.randn(shape, generator=draw, dtype=torch.float64)
