"""The scale of a learning rate, by plain runs on one seed: downhill in growing strides, then nearer."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import final

FIRST = 0.5  # decades between the first peaks
NEAREST = 0.25  # and between the last
_FARTHEST = 8.0  # decades from the first peak
_DEEPEST = 3  # below all others, where nothing has trained
_ENOUGH = 8  # runs, to spend one on the other side


@final
@dataclass
class Bracket:
    """Losses by peak, where places are decades from the first peak.

    Where the best run has hardly trained, because units died or few examples were learned by heart, lower
    rates are looked at, too; and one lower rate wherever the best is higher than the first.

    Args:
        run: The loss there; infinite where it diverges.
        ahead: Told of the place that is run next, and of those that may follow it.
        most: Plain runs to spend.
        trained: A loss below this is one of a run that has trained.
    """

    run: Callable[[float], float]
    most: int
    trained: float = math.inf
    losses: dict[float, float] = field(default_factory=dict)
    ahead: Callable[[float, list[float]], None] | None = None

    def find(self) -> float:
        """The best place."""
        self._try(0.0)
        for place in itertools.chain(self._downhill(), self._across(), self._below()):
            self._try(place)
        while (place := self._between()) is not None:
            self._try(place)
        return self.best

    @property
    def best(self) -> float:
        """Of equally good ones, such as diverged ones, the coolest."""
        return min(self.losses, key=lambda place: (self.losses[place], place))

    def _try(self, place: float) -> None:
        if place not in self.losses and len(self.losses) < self.most:
            if self.ahead is not None:
                self.ahead(place, self._next(place))
            self.losses[place] = self.run(place)

    def _next(self, place: float) -> list[float]:
        """Where it would go on if this place were the best so far, were not, or diverged."""
        finite = [loss for loss in self.losses.values() if math.isfinite(loss)]
        found = list[float]()
        for loss in (min(finite, default=0.0) - 1.0, max(finite, default=0.0) + 1.0, math.inf):
            known = {**self.losses, place: loss}
            try:
                Bracket(partial(_known, known), self.most, self.trained).find()
            except _AskedError as asked:
                found.append(asked.place)
        return list(dict.fromkeys(found))

    def _downhill(self) -> Iterator[float]:
        """Up, or where that is no better down, in strides that double while it gets better.

        Runs that diverge say nothing of how far: they are left by decades.
        """
        for sign in (1, -1) if math.isfinite(self.losses[0.0]) else (-1,):
            stride, place = FIRST, 0.0
            while True:
                hot = not math.isfinite(self.losses[self.best])
                stride = max(stride, 1.0) if hot else stride
                place += sign * stride
                if abs(place) > _FARTHEST:
                    return
                before = self.losses[self.best]
                yield place
                if place not in self.losses or not (hot or self.losses[place] < before):
                    break
                stride *= 1 if hot else 2
            if self.best != 0.0:
                return

    def _across(self) -> Iterator[float]:
        """A decade below the first, where only higher ones were tried; and on down while that is better.

        Rates that learn few examples by heart lie between others, above and below, that are better.
        """
        if self.most < _ENOUGH or self.best <= 0.0:
            return
        place = -1.0
        while True:
            best = self.losses[self.best]
            yield place
            if self.losses.get(place, math.inf) >= best:
                return
            place -= FIRST

    def _below(self) -> Iterator[float]:
        """By decades, until something trains, and as long as it gets better."""
        lowest = place = min(self.losses)

        def untrained() -> bool:
            deep = lowest - place >= _DEEPEST
            return self.trained <= self.losses[self.best] < math.inf and not deep

        while untrained() or self.best == place < lowest:
            place -= 1.0
            yield place
            if place not in self.losses:
                return

    def _between(self) -> float | None:
        """The middle of the wider gap beside the best place, unless both are narrow."""
        places = sorted(self.losses)
        index = places.index(self.best)
        beside = [places[k] for k in (index - 1, index + 1) if 0 <= k < len(places)]
        gaps = [(abs(other - self.best), (other + self.best) / 2) for other in beside]
        gaps = [gap for gap in gaps if gap[0] > NEAREST * 1.01]
        full = len(self.losses) >= self.most
        return None if full or not gaps or math.isinf(self.losses[self.best]) else max(gaps)[1]


class _AskedError(Exception):
    """A bracket that only looks ahead has come to a place whose loss is not known."""

    def __init__(self, place: float):
        self.place = place


def _known(losses: Mapping[float, float], place: float) -> float:
    if place not in losses:
        raise _AskedError(place)
    return losses[place]
