"""Our own: gradients on relaxed slates from many starts, rounded to items, repaired by swaps."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Protocol, final

import torch
from torch import Tensor

from ...errors import check_number, check_whole
from ...protocols import FeasibleSet, generator
from ...task._streams import QUESTIONS
from .._belief import Belief
from .._expected import ascent
from .._query import Query
from .._sets import Catalogue
from ._approximate import Approximate
from ._criterion import ChoiceInformation, DecisionValue
from ._greedy import greedy_slate, swapped
from ._strategy import LEVEL, Board, Strategy, asked, check_slots

_REPAIRED = 800  # items times slates that swaps begin with, at most
_PRODUCTS = 128  # slates of neighbours of each relaxed slate, at most
_SIGHT = 0.2  # noise as a share of the scatter of utilities
_CRITERION, _INSTEAD = DecisionValue(), ChoiceInformation()


@final
@dataclass(frozen=True)
class Relaxed(Strategy):
    """The question of largest EVOI, by gradient ascent on slates of items that need not exist.

    Starts are the greedy slate and random ones. Adam follows the value of deciding within the ball around
    the items, which is smooth, then that of deciding among items. The best product of each slot's nearest
    items, and the greedy slate, are improved by swaps, and the best of all is asked. Where no answer by
    itself would change what is recommended, the question that tells most of which item is best.

    Args:
        starts: Slates to begin with, the greedy one among them.
        ball_steps: Of Adam within the ball, while the noise is lowered to its own scale.
        item_steps: Of Adam among items.
        rate: Of Adam, as a share of the ball's radius; half of it among items.
        neighbours: Nearest items of each slot that are tried, fewer where slots are many.
        repairs: Of the best slates, of the best near each end, and of the starts, how many are improved by
            swaps, the greedy one among them; fewer in large pools.
        pool: Items that are asked about at most; of larger catalogues those that some sample likes best,
            those near relaxed slates, and random ones.
        search: How those are found that samples like best: None exactly, in blocks.

    Source: arXiv:1911.09153; starts from items, products of neighbours and swaps are our own.

    Cannot: be certain. On small catalogues `Exact` is.

    Example:
        >>> from nongreedy.preference import Belief, Catalogue, Gaussian
        >>> items = Catalogue([[1.0, 0.0], [0.0, 1.0], [0.1, 0.9]])
        >>> sorted(Relaxed().choose(Belief(Gaussian.standard(2)), items, 2, seed=0).members)
        [0, 1]
    """

    starts: int = 12
    ball_steps: int = 30
    item_steps: int = 40
    rate: float = 0.1
    neighbours: int = 5
    repairs: int = 12
    pool: int = 256
    search: Approximate | None = None

    def __post_init__(self) -> None:
        for name in ("starts", "neighbours", "repairs", "pool"):
            check_whole(name, getattr(self, name))
        for name in ("ball_steps", "item_steps"):
            check_whole(name, getattr(self, name), 0)
        check_number("rate", self.rate)

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        check_slots(slots, items)
        source = generator(seed, QUESTIONS)
        reach, pool = self._shortened(belief, items, source)
        board = Board(belief, items, pool, reach)
        greedy = greedy_slate(board, _CRITERION, slots)
        starts = self._starts(greedy, pool, source)
        found = self._climbed(board, items, starts)
        pool = torch.cat([pool, *(slates.flatten() for slates in found)]).unique()
        board = Board(belief, items, pool, reach)
        ends = [swapped(board, _CRITERION, slate) for slate in self._begun(board, starts, found)]
        slate, score = max(ends, key=lambda each: each[1])
        nothing = float(reach.support(belief.mean)[0])
        if score <= nothing + LEVEL * max(1.0, abs(nothing)):
            slate = swapped(board, _INSTEAD, greedy_slate(board, _INSTEAD, slots))[0]
        return asked(items, slate)

    def _shortened(
        self, belief: Belief, items: Catalogue, source: torch.Generator
    ) -> tuple[Catalogue, Tensor]:
        """What may be recommended, and what may be asked about: all, or of many items a few."""
        if len(items) <= self.pool:
            return items, torch.arange(len(items))
        directions = torch.cat([belief.mean[None], belief.utilities])
        if self.search is None:
            best = items.best(directions)[1]
        else:
            best = self.search.index(items).best(directions, source)
        liked, often = best.unique(return_counts=True)
        liked = liked[often.argsort(descending=True)[: self.pool // 2]]
        drawn = torch.randint(len(items), (self.pool - len(liked),), generator=source)
        pool = torch.cat([best[:1], liked, drawn]).unique()
        return items.take(pool), pool

    def _starts(self, greedy: Tensor, pool: Tensor, source: torch.Generator) -> Tensor:
        rows = [greedy]
        while len(rows) < self.starts:
            rows.append(pool[torch.randperm(len(pool), generator=source)[: len(greedy)]])
        return torch.stack(rows)

    def _climbed(self, board: Board, items: Catalogue, starts: Tensor) -> list[Tensor]:
        """For each start, slates of items near to where its ascent ends."""
        slates = items.points[starts]
        first, last = heats(board.belief, board.values)
        falling = [
            last * (first / last) ** (1 - k / self.ball_steps) for k in range(self.ball_steps)
        ]
        step = self.rate * items.relaxed.radius
        slates = climb(board.belief, slates, items.relaxed, items, step, falling)
        slates = climb(board.belief, slates, board.reach, items, step / 2, [last] * self.item_steps)
        return products(items, slates, self.neighbours)

    def _begun(self, board: Board, starts: Tensor, found: list[Tensor]) -> Tensor:
        """Where swaps begin: the best slates of items, the best near each end, and the starts.

        Neighbours of one end may all be repaired to the same slate, which need not be the best. The pool is
        sorted and has all of them.
        """
        count = max(2, min(self.repairs, _REPAIRED // len(board.pool)))
        scored = [
            (slates, board.scores(_CRITERION, torch.searchsorted(board.pool, slates)))
            for slates in found
        ]
        ends = torch.stack([slates[scores.argmax()] for slates, scores in scored])
        highest = torch.stack([scores.max() for _, scores in scored])
        every, scores = (torch.cat(parts) for parts in zip(*scored, strict=True))
        best = [
            slates[values.topk(min(count, len(values))).indices]
            for slates, values in ((every, scores), (ends, highest))
        ]
        return torch.cat([*best, starts[:count]]).sort(1).values.unique(dim=0)


def heats(belief: Belief, values: Tensor) -> tuple[float, float]:
    """Factors of the noise for the first and the last step of an ascent.

    It begins where gradients see across the differences between items. Noise that is already as large is
    left alone: more of it would only bring all starts to one end. A response without a derivative has no
    scale of its own, so that its smooth stand-in ends at a quarter of where it began.

    Args:
        values: Utilities of items for samples, shape (n, m).
    """
    sight = _SIGHT * float(values.std(0).mean()) / float(belief.weights @ belief.scales)
    last = 1.0 if belief.response.smooth() is belief.response else sight / 4
    return max(sight, last), last


class _Projecting(Protocol):
    def project(self, point: Tensor) -> Tensor: ...


def climb(
    belief: Belief,
    slates: Tensor,
    reach: FeasibleSet,
    relaxed: _Projecting,
    rate: float,
    factors: list[float],
) -> Tensor:
    """Adam on slates of shape (b, k, d), each on its own, back in the relaxed set after every step."""
    response, slates = belief.response.smooth(), slates.clone()
    adam = torch.optim.Adam([slates], lr=rate, maximize=True)
    for heat in factors:
        slates.grad = ascent(belief, slates, reach, response, heat)[1]
        adam.step()
        slates.copy_(relaxed.project(slates))
    slates.grad = None
    return slates


def products(items: Catalogue, slates: Tensor, neighbours: int) -> list[Tensor]:
    """For each relaxed slate, all slates of different items of its slots' nearest ones: shape (b, k)."""
    slots = slates.shape[1]
    count = max(1, min(neighbours, len(items), math.floor(_PRODUCTS ** (1 / slots) + 1e-9)))
    picks = torch.tensor(list(itertools.product(range(count), repeat=slots)))
    found = []
    for slate, near in zip(slates, items.nearest(slates, count), strict=True):
        every = near[torch.arange(slots), picks].sort(1).values.unique(dim=0)
        different = every[(every.diff(dim=1) != 0).all(1)]
        found.append(
            different if len(different) else torch.tensor([items.nearest_different(slate)])
        )
    return found
