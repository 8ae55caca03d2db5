"""The contract of an estimator from rewards, and its use as a source of gradients."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import check_number
from ...protocols import Estimate, generator
from ...schedules import Value
from ...task._streams import REWARDS, ZEROTH
from .._batch import Batch, Plan, drive

Rewards = Callable[[Tensor, torch.Generator], Tensor]


class Estimator(Value, abc.ABC):
    """Estimates a gradient at a point of the unit sphere from rewards of actions around it."""

    degree: int = 2

    @abc.abstractmethod
    def least(self, size: int) -> int:
        """The fewest plays that give an estimate with a standard error, in `size` dimensions."""

    @abc.abstractmethod
    def plan(self, point: Tensor, plays: int, draw: torch.Generator) -> Plan[Estimate]:
        """Ask for at most `plays` rewards around `point`, shape (d,), and return what they say."""

    def check(self, point: Tensor, plays: float) -> None:
        """Raise ValueError for a point off the sphere, or fewer plays than :meth:`least`."""
        if point.dim() != 1 or not abs(float(point.norm()) - 1) <= 1e-6:
            raise ValueError(
                f"{type(self).__name__} estimates at points of the unit sphere, shape (d,), but got one of "
                f"shape {tuple(point.shape)} and norm {float(point.norm()):g}: normalise it."
            )
        if not plays >= (least := self.least(len(point))):
            raise ValueError(
                f"{type(self).__name__} needs at least {least} plays in {len(point)} dimensions, but got "
                f"{plays}."
            )


@dataclass(frozen=True)
class FromRewards(Value):
    """A source of gradients that plays: an estimator and somebody's rewards.

    Args:
        rewards: (actions of shape (n, d), a generator for noise) -> rewards, shape (n,).
            ``problem.rewards`` of a bandit is one.
        estimator: How to play.

    Raises:
        ValueError: By `estimate`, of a point off the unit sphere, a budget below the estimator's least, or
            rewards that are not finite.

    Example:
        >>> import torch
        >>> from nongreedy import bandits
        >>> problem = bandits.QuadraticBandit.planted(3, [1.0], seed=0, noise=0.0)
        >>> source = FromRewards(problem.rewards, bandits.zeroth.Orthonormal())
        >>> point = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
        >>> found = source.estimate(point, seed=0, budget=6)
        >>> torch.testing.assert_close(found.gradient, 2 * problem.matrix @ point)
    """

    rewards: Rewards
    estimator: Estimator
    unit: ClassVar[str] = "plays"

    def estimate(self, point: Tensor, seed: int, budget: float) -> Estimate:
        """The reward and its gradient at `point`, for at most `budget` plays."""
        check_number("budget", budget)
        point = torch.as_tensor(point, dtype=torch.float64)
        noise = generator(seed, REWARDS)

        def answer(batch: Batch) -> Tensor:
            actions = batch.actions.repeat_interleave(batch.repeats, 0)
            heard = torch.as_tensor(self.rewards(actions, noise), dtype=torch.float64)
            if heard.shape != actions.shape[:1] or not bool(torch.isfinite(heard).all()):
                raise ValueError(
                    f"Rewards must be finite, shape ({len(actions)},), but got {heard!r:.200}."
                )
            return heard.reshape(-1, batch.repeats)

        self.estimator.check(point, budget)
        return drive(self.estimator.plan(point, int(budget), generator(seed, ZEROTH)), answer)
