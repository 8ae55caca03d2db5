"""How a question is found: the contract, and slates of items by number."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ...protocols import FeasibleSet
from .._belief import Belief
from .._expected import chunks
from .._query import Query
from .._sets import Catalogue
from ._criterion import Criterion

LEVEL = 1e-12  # scores that differ by less, relatively, differ by rounding


class Strategy(abc.ABC):
    """Chooses the next question."""

    @abc.abstractmethod
    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        """A question of `slots` items.

        Args:
            belief: Of utilities.
            items: All that exist.
            slots: k, at least 2 and at most as many as there are items.
            seed: Of all draws; the same arguments give the same question.
        """


class Board:
    """Items that may be asked about, with their utilities at hand.

    Args:
        pool: Numbers of these items in the catalogue.
        reach: What may be recommended.

    Attributes:
        values: Utilities of pool items for samples, shape (p, m).
    """

    def __init__(self, belief: Belief, items: Catalogue, pool: Tensor, reach: FeasibleSet):
        self.belief, self.pool, self.reach = belief, pool, reach
        self.values = items.points[pool] @ belief.utilities.T

    def scores(self, criterion: Criterion, slates: Tensor) -> Tensor:
        """Of slates of places in the pool, shape (b, k): shape (b,)."""
        return torch.cat(
            [
                criterion.scores(self.belief, self.values[slates[part].T], self.reach)
                for part in chunks(len(slates), self.belief, slates.shape[1])
            ]
        )

    def best(self, criterion: Criterion, slates: Tensor) -> tuple[Tensor, float]:
        """The first slate of the largest score, and the score."""
        scores = self.scores(criterion, slates)
        place = int(scores.argmax())
        return slates[place], float(scores[place])


def whole(belief: Belief, items: Catalogue) -> Board:
    """All items may be asked about, and recommended."""
    return Board(belief, items, torch.arange(len(items)), items)


def asked(items: Catalogue, members: Tensor | list[int]) -> Query:
    """The question about items by number."""
    numbers = tuple(int(member) for member in members)
    return Query(items.points[list(numbers)], numbers)


def check_slots(slots: int, items: Catalogue) -> None:
    """Raise ValueError unless so many items can be asked about."""
    if not 2 <= slots <= len(items):
        raise ValueError(
            f"`slots` must be from 2 to the number of items, {len(items)}, but got {slots!r}."
        )
