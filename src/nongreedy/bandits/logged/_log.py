"""Logged rounds: what was shown to whom, how probable that was, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Log:
    """Rounds of a policy that chose items at random with known probabilities.

    Args:
        contexts: Features of each round, shape (n, c).
        items: What was chosen, whole numbers from 0, shape (n,).
        rewards: Shape (n,).
        propensities: Probability with which it was chosen, in (0, 1], shape (n,).
        count: Number of items that might have been chosen.

    Raises:
        ValueError: Shapes that do not fit, an item out of range, a propensity outside (0, 1], a reward or
            a context that is not finite; with the first such round.

    Example:
        >>> import torch
        >>> log = Log(torch.ones(2, 1), torch.tensor([0, 1]), torch.ones(2), torch.full((2,), 0.5), 2)
        >>> len(log)
        2
    """

    contexts: Tensor
    items: Tensor
    rewards: Tensor
    propensities: Tensor
    count: int

    def __post_init__(self) -> None:
        for name in ("contexts", "rewards", "propensities"):
            object.__setattr__(self, name, torch.as_tensor(getattr(self, name)).double())
        object.__setattr__(self, "items", torch.as_tensor(self.items).long())
        n = len(self.contexts)
        flat = (self.items, self.rewards, self.propensities)
        if self.contexts.dim() != 2 or any(tuple(each.shape) != (n,) for each in flat):
            shapes = [tuple(each.shape) for each in (self.contexts, *flat)]
            raise ValueError(f"Shapes must be (n, c), (n,), (n,), (n,), but are {shapes}.")
        if n < 2:
            raise ValueError(f"A log needs two rounds at least, but has {n}.")
        self._refuse((self.items < 0) | (self.items >= self.count), "items", self.items)
        bad = ~((self.propensities > 0) & (self.propensities <= 1))
        self._refuse(bad, "propensities", self.propensities)
        self._refuse(~torch.isfinite(self.rewards), "rewards", self.rewards)
        self._refuse(~torch.isfinite(self.contexts).all(1), "contexts", self.contexts)

    def _refuse(self, bad: Tensor, name: str, values: Tensor) -> None:
        if bool(bad.any()):
            first = int(bad.int().argmax())
            raise ValueError(
                f"`{name}` of round {first} is {values[first].tolist()}: items must be below {self.count}, "
                "propensities in (0, 1], numbers finite."
            )

    def __len__(self) -> int:
        return len(self.contexts)

    def part(self, rounds: Tensor) -> Log:
        """Some of the rounds, by a mask or by numbers."""
        return Log(
            self.contexts[rounds], self.items[rounds], self.rewards[rounds],
            self.propensities[rounds], self.count,
        )  # fmt: skip
