"""Questions about a few attributes, all others alike: would 3 ms more be worth half a point?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ...errors import check_whole
from ...protocols import generator
from ...task._streams import QUESTIONS
from .._belief import Belief
from .._query import Query
from .._sets import Catalogue
from .._value import in_sample
from ._relaxed import climb, heats
from ._strategy import Strategy

_SUBSETS = 64  # of attributes that are tried
_STEPS, _RATE = 60, 0.05


@final
@dataclass(frozen=True)
class Partial(Strategy):
    """The question about a few attributes that is worth most for the choice among whole items.

    Values of attributes are free within the range of the items, so nothing is rounded. Where there are few
    subsets of attributes, each is tried; else those in which ascents on all attributes differ most.

    Args:
        attributes: p, how many are shown.
        starts: Slates to begin with, for each subset.

    Example:
        >>> from nongreedy.preference import Belief, Catalogue, Gaussian
        >>> items = Catalogue([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.1, 0.9, 0.0]])
        >>> len(Partial(2).choose(Belief(Gaussian.standard(3)), items, 2, seed=0).attributes)
        2
    """

    attributes: int = 2
    starts: int = 4

    def __post_init__(self) -> None:
        check_whole("attributes", self.attributes)
        check_whole("starts", self.starts)

    def choose(self, belief: Belief, items: Catalogue, slots: int, seed: int) -> Query:
        check_whole("slots", slots, 2)
        if self.attributes > belief.attributes:
            raise ValueError(
                f"`attributes` is {self.attributes}, but items have only {belief.attributes}."
            )
        source = generator(seed, QUESTIONS)
        masks = self._masks(belief, items, slots, source)
        box = _Box(items, masks.repeat_interleave(self.starts, 0)[:, None])
        begun = box.project(_random(items, len(masks) * self.starts, slots, source))
        slates = climb(belief, begun, items, box, _RATE, _factors(belief, items))
        values = in_sample(belief, slates, items)
        # A slate whose slots met says nothing.
        values = torch.where(_apart(slates), values, -torch.inf)
        best = int(values.argmax())
        if not values[best] > -torch.inf:
            raise ValueError("Every question on so few attributes has slots that are alike.")
        shown = masks[best // self.starts].nonzero()[:, 0].tolist()
        return Query(slates[best], None, tuple(shown))

    def _masks(
        self, belief: Belief, items: Catalogue, slots: int, source: torch.Generator
    ) -> Tensor:
        """Subsets of attributes, a row of zeros and ones for each."""
        if math.comb(belief.attributes, self.attributes) <= _SUBSETS:
            sets = list(itertools.combinations(range(belief.attributes), self.attributes))
        else:
            whole = _Box(items, torch.ones(1, belief.attributes, dtype=torch.float64))
            begun = _random(items, _SUBSETS, slots, source)
            slates = climb(belief, begun, items, whole, _RATE, _factors(belief, items))
            # How far apart the slots are in an attribute, in units of the utility that it moves.
            moved = (slates.amax(1) - slates.amin(1)) * belief.utilities.std(0)
            sets = {tuple(sorted(row)) for row in moved.topk(self.attributes).indices.tolist()}
        masks = torch.zeros(len(sets), belief.attributes, dtype=torch.float64)
        for row, chosen in enumerate(sorted(sets)):
            masks[row, list(chosen)] = 1
        return masks


class _Box:
    """The range of each attribute that is shown, and nothing of the others."""

    def __init__(self, items: Catalogue, mask: Tensor):
        self.low, self.high = items.points.amin(0) * mask, items.points.amax(0) * mask

    def project(self, point: Tensor) -> Tensor:
        return point.clamp(self.low, self.high)


def _factors(belief: Belief, items: Catalogue) -> list[float]:
    return [heats(belief, items.points[:1000] @ belief.utilities.T)[1]] * _STEPS


def _random(items: Catalogue, count: int, slots: int, source: torch.Generator) -> Tensor:
    return items.points[torch.randint(len(items), (count, slots), generator=source)]


def _apart(slates: Tensor) -> Tensor:
    gaps = torch.cdist(slates, slates)
    return (gaps + torch.eye(slates.shape[1]).double() > 1e-6).flatten(1).all(1)
