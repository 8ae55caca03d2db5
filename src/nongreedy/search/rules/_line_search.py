"""Line searches by plain runs on common seeds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from ...engines import Rollout
from ...errors import DivergedError
from ...schedules import Schedule
from .. import Ask, Objective
from .._outer_step import mean_accuracy, mean_metrics
from ._moves import Move


@dataclass(frozen=True)
class Point:
    """A schedule and its runs, one per seed."""

    schedule: Schedule
    rollouts: Sequence[Rollout]

    @property
    def loss(self) -> float:
        """Mean validation loss."""
        return statistics.fmean(r.outcome.loss for r in self.rollouts)

    @property
    def accuracy(self) -> float | None:
        """Mean validation accuracy, or None."""
        return mean_accuracy(r.outcome.accuracy for r in self.rollouts)

    @property
    def metrics(self) -> dict[str, float]:
        """Means of the task's own metrics, by name."""
        return mean_metrics(r.outcome.metrics for r in self.rollouts)


@dataclass(frozen=True)
class Lengths:
    """Which lengths are tried, in outer steps: the first, doubled up to the longest where it helps,
    else halved down to the shortest. `dear`: already the first must pay by the margin."""

    first: float
    longest: float
    shortest: float
    dear: bool = False


@dataclass(frozen=True)
class LineSearch:
    """Finds the best length of a move.

    Attributes:
        margin: Relative improvement that a longer step must bring.
    """

    objective: Objective
    seeds: Sequence[int]
    margin: float

    def along(self, base: Point, move: Move | None, lengths: Lengths) -> tuple[Point, float]:
        """The best point of a move and its length; the base and 0 where none is better."""
        if move is None:
            return base, 0.0
        length, best = lengths.first, None
        while best is None and length >= lengths.shortest:
            price = self.margin * abs(base.loss) if lengths.dear else 0.0
            further = [move(2 * length)] if length == lengths.first < lengths.longest else []
            best = self._better(base, move(length), price, [*further, move(length / 2)])
            length = length if best is not None else length / 2
        if best is None:
            return base, 0.0
        if length < lengths.first:
            return best, length
        while 2 * length <= lengths.longest:
            next_one = [move(4 * length)] if 4 * length <= lengths.longest else []
            further = self._better(best, move(2 * length), self._price(base, best), next_one)
            if further is None:
                break
            best, length = further, 2 * length
        # Doubling may have jumped over the best: look on both sides of where it stopped.
        for factor in (0.75, 1.5) if length >= 2 else ():
            price = 0.0 if factor < 1 else self._price(base, best)
            nearer = self._better(best, move(factor * length), price)
            if nearer is not None:
                return nearer, factor * length
        return best, length

    def _price(self, base: Point, best: Point) -> float:
        """By how much a longer step must lower the loss: by the margin, and by a tenth of what was
        gained so far, because the hot side of the optimum is the unstable one."""
        return max(self.margin * abs(best.loss), 0.1 * (base.loss - best.loss))

    def _better(
        self, best: Point, schedule: Schedule, price: float, likely: Sequence[Schedule] = ()
    ) -> Point | None:
        """The schedule's point, if its loss is below that of `best` by the price; `likely` come next."""
        first, *others = (Ask(s, seed) for s in (schedule, *likely) for seed in self.seeds)
        self.objective.ahead([first], others)
        rollouts: list[Rollout] = []
        for seed, rival in zip(self.seeds, best.rollouts, strict=True):
            try:
                rollouts.append(self.objective.rollout(schedule, seed))
            except DivergedError:
                return None
            # Clearly worse on its first seed: the others need not be run.
            limit = rival.outcome.loss + self.margin * abs(rival.outcome.loss)
            if rollouts[-1].outcome.loss > limit:
                return None
        point = Point(schedule, rollouts)
        return point if point.loss < best.loss - price else None
