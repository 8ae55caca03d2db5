"""All slates, one by one."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import final

import torch

from .._belief import Belief
from .._query import Query
from .._sets import Catalogue
from ._criterion import Criterion, DecisionValue
from ._strategy import Strategy, asked, check_slots, whole

LIMIT = 1_000_000


@final
@dataclass(frozen=True)
class Exact(Strategy):
    """The best of all slates.

    Args:
        criterion: What is to be large: EVOI by default.

    Raises:
        ValueError: More than a million slates.

    Cannot: serve catalogues; 1,415 items have a million pairs.

    Example:
        >>> from nongreedy.preference import Belief, Catalogue, Gaussian
        >>> items = Catalogue([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
        >>> Exact().choose(Belief(Gaussian.standard(2)), items, 2, seed=0).members
        (0, 1)
    """

    criterion: Criterion = field(default_factory=DecisionValue)

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        del seed
        check_slots(slots, items)
        if (count := math.comb(len(items), slots)) > LIMIT:
            raise ValueError(
                f"{len(items)} items have {count:,} slates of {slots}, and at most {LIMIT:,} are tried. "
                "Use Relaxed(), which tries few."
            )
        slates = torch.tensor(list(itertools.combinations(range(len(items)), slots)))
        return asked(items, whole(belief, items).best(self.criterion, slates)[0])
