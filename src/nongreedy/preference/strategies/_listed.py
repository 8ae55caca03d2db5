"""Questions of a list: those that can be asked, where not every slate can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch

from .._belief import Belief
from .._query import Query
from .._sets import Catalogue
from ._criterion import ChoiceInformation, Criterion, DecisionValue
from ._strategy import LEVEL, Strategy


@final
@dataclass(frozen=True, eq=False)
class Listed(Strategy):
    """The best question of a list that the belief has no answer to yet.

    Args:
        queries: All that may be asked, of any number of slots.
        criterion: What is to be large: EVOI by default.
        instead: What is to be large where that is level, since no answer by itself changes the decision;
            None leaves it to the order of the list.

    Raises:
        ValueError: All were answered.

    Example:
        >>> from nongreedy.preference import Belief, Catalogue, Gaussian, Query
        >>> items = Catalogue([[1.0, 0.0], [0.0, 1.0]])
        >>> strategy = Listed([Query(items.points, (0, 1))])
        >>> strategy.choose(Belief(Gaussian.standard(2)), items, 2, seed=0).members
        (0, 1)
    """

    queries: Sequence[Query]
    criterion: Criterion = field(default_factory=DecisionValue)
    instead: Criterion | None = field(default_factory=ChoiceInformation)

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        del slots, seed
        answered = [answer.query.points for answer in belief.answers]
        left = [q for q in self.queries if not any(torch.equal(q.points, a) for a in answered)]
        if not left:
            raise ValueError(f"All {len(self.queries)} questions of the list have been answered.")
        utilities = [(query.points @ belief.utilities.T)[:, None] for query in left]
        scores = [0.0]
        for criterion in filter(None, (self.criterion, self.instead)):
            scores = [float(criterion.scores(belief, each, items)[0]) for each in utilities]
            if max(scores) - min(scores) > LEVEL * max(1.0, abs(max(scores))):
                break
        return left[scores.index(max(scores))]
