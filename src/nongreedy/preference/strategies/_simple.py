"""Baselines that look at no answer's consequences: random slates, the best by mean, Thompson's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch

from ...protocols import generator
from ...task._streams import QUESTIONS
from .._belief import Belief
from .._query import Query
from .._sets import Catalogue
from ._strategy import Strategy, asked, check_slots


@final
@dataclass(frozen=True)
class Random(Strategy):
    """Items drawn alike.

    Example:
        >>> from nongreedy.preference import Belief, Catalogue, Gaussian
        >>> items = Catalogue([[1.0, 0.0], [0.0, 1.0]])
        >>> sorted(Random().choose(Belief(Gaussian.standard(2)), items, 2, seed=0).members)
        [0, 1]
    """

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        del belief
        check_slots(slots, items)
        source = generator(seed, QUESTIONS)
        return asked(items, torch.randperm(len(items), generator=source)[:slots])


@final
@dataclass(frozen=True)
class TopK(Strategy):
    """The items of largest expected utility."""

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        del seed
        check_slots(slots, items)
        return asked(items, (items.points @ belief.mean).topk(slots).indices)


@final
@dataclass(frozen=True)
class Thompson(Strategy):
    """Each slot the best item of a drawn utility, as far as they differ."""

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        check_slots(slots, items)
        source, found = generator(seed, QUESTIONS), list[int]()
        drawn = torch.multinomial(belief.weights, min(64, len(belief.weights)), generator=source)
        for place in items.best(belief.utilities[drawn])[1].tolist():
            if place not in found:
                found.append(place)
        # Where all agree, the others are those that a random slate would have.
        rest = torch.randperm(len(items), generator=source).tolist()
        found += [place for place in rest if place not in found]
        return asked(items, found[:slots])
