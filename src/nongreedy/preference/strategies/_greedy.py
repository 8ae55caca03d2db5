"""One item after another; then one item for another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from .._belief import Belief
from .._query import Query
from .._sets import Catalogue
from ._criterion import Criterion, DecisionValue
from ._strategy import LEVEL, Board, Strategy, asked, check_slots, whole

LIMIT = 20_000


@final
@dataclass(frozen=True)
class Greedy(Strategy):
    """From the item of largest expected utility on, always the item that adds most.

    Args:
        criterion: What is to be large: EVOI by default; ``Greedy(BestOfSlate())`` is qEUBO's question, and
            ``Greedy(Information())`` the most telling one.

    Raises:
        ValueError: More than 20,000 items, each of which would be compared with all.

    Example:
        >>> from nongreedy.preference import Belief, Catalogue, Gaussian
        >>> items = Catalogue([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
        >>> len(Greedy().choose(Belief(Gaussian.standard(2)), items, 2, seed=0).members)
        2
    """

    criterion: Criterion = field(default_factory=DecisionValue)

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        del seed
        check_slots(slots, items)
        if len(items) > LIMIT:
            raise ValueError(
                f"Greedy() compares every item with all, and takes at most {LIMIT:,}, but got "
                f"{len(items):,}. Use Relaxed(), whose time grows as the number of items."
            )
        return asked(items, greedy_slate(whole(belief, items), self.criterion, slots))


@final
@dataclass(frozen=True)
class QueryIteration(Strategy):
    """From the greedy slate on, what would be recommended after each answer, until that is the slate.

    Where answers have no noise, no round makes the question worse.

    Example:
        >>> from nongreedy.preference import Belief, Catalogue, Gaussian
        >>> items = Catalogue([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
        >>> len(QueryIteration().choose(Belief(Gaussian.standard(2)), items, 2, seed=0).members)
        2
    """

    rounds: int = 100

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        query = Greedy().choose(belief, items, slots, seed)
        for _ in range(self.rounds):
            after = iterated(belief, items, query)
            if set(after.members or ()) == set(query.members or ()):
                break
            query = after
        return query


def iterated(belief: Belief, items: Catalogue, query: Query) -> Query:
    """The slate of what is recommended after each answer; where two agree, the second slot stays."""
    sums = belief.probabilities(query) @ (belief.weights[:, None] * belief.utilities)
    before, found = list(query.members or ()), list[int]()
    for slot, place in enumerate(items.best(sums)[1].tolist()):
        kept = place if place not in found else before[slot]
        found.append(kept)
    if len(set(found)) < len(found):
        return query
    return asked(items, found)


def greedy_slate(board: Board, criterion: Criterion, slots: int) -> Tensor:
    """Numbers in the catalogue."""
    first = (board.values @ board.belief.weights).argmax()
    slate, everyone = first[None], torch.arange(len(board.pool))
    while len(slate) < slots:
        rest = everyone[~torch.isin(everyone, slate)]
        slates = torch.cat([slate.expand(len(rest), -1), rest[:, None]], 1)
        slate = board.best(criterion, slates)[0]
    return board.pool[slate]


def swapped(board: Board, criterion: Criterion, slate: Tensor) -> tuple[Tensor, float]:
    """Change one item for another while that makes the score larger.

    Args:
        slate: Numbers in the catalogue, all of them in the pool.

    Returns:
        Numbers in the catalogue, and the score.
    """
    places = torch.stack([(board.pool == number).nonzero()[0, 0] for number in slate])
    score = float(board.scores(criterion, places[None])[0])
    while len(board.pool) > len(places):  # else there is nothing to change for
        best, found = board.best(criterion, _neighbours(places, len(board.pool)))
        # The same slate in another order differs by rounding.
        if found <= score + LEVEL * max(1.0, abs(score)):
            break
        places, score = best, found
    return board.pool[places], score


def _neighbours(places: Tensor, count: int) -> Tensor:
    """All slates that differ in one slot."""
    everyone = torch.arange(count)
    rest = everyone[~torch.isin(everyone, places)]
    slates = places.repeat(len(places), len(rest), 1)
    for slot in range(len(places)):
        slates[slot, :, slot] = rest
    return slates.reshape(-1, len(places))
