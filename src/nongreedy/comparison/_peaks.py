"""Schedules of a fixed shape whose peak is tuned, as people do by hand."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch

from ..engines import Problem
from ..errors import DivergedError
from ..schedules import Constant, Curve, Windows, cosine_schedule
from ..search import BudgetSpentError, Evaluated
from ._meter import Meter
from ._method import Method
from ._practice import by_hand, grouped
from ._ranges import Range, peaks

FEWEST, MOST = 3, 19  # peaks of a grid
_POINTS = 1000


def constant(peak: float) -> Curve:
    """The peak throughout."""
    return Curve(Constant(), torch.tensor([peak], dtype=torch.float64))


def cosine(peak: float) -> Curve:
    """From the peak to nothing, in half a cosine."""
    return cosine_schedule(peak).curves["learning_rate"]


def linear(peak: float) -> Curve:
    """From the peak to nothing, in a straight line."""
    time = torch.arange(_POINTS, dtype=torch.float64) / _POINTS
    return Curve(Windows(_POINTS), peak * (1 - time))


def one_cycle(peak: float) -> Curve:
    """Up from a 25th in 30% of the run, down to a 250,000th: ``OneCycleLR`` at constant momentum."""
    time = torch.arange(_POINTS, dtype=torch.float64) / (_POINTS - 1)
    rise = 0.3
    up = _eased(peak / 25, peak, time / rise)
    down = _eased(peak, peak / 25e4, (time - rise) / (1 - rise))
    return Curve(Windows(_POINTS), torch.where(time < rise, up, down))


def _eased(start: float, end: float, part: torch.Tensor) -> torch.Tensor:
    """Half a cosine from one value to another."""
    return end + (start - end) * (1 + torch.cos(math.pi * part)) / 2


def grid(low: float, high: float, budget: float) -> list[float]:
    """Peaks in equal ratios, coarse to fine, as many as half of the budget can pay for."""
    count = max(FEWEST, min(MOST, int(budget / 2)))
    peaks = torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64).tolist()
    # By the reversed bits of their places: the first, one in the middle, those between, ...
    return [peaks[place] for place in sorted(range(count), key=lambda place: f"{place:05b}"[::-1])]


def bracketed(
    problem: Problem, meter: Meter, shape: Callable[[float], Curve], limits: Range, runs: int
) -> float:
    """The peak of least loss after so many runs at most, each on the same seed.

    From the middle of the limits in ratios of four, upwards first, until both neighbours of the best are
    worse; then the ratio is halved, in logarithms, down to the fourth root of two.
    """
    middle, octave = math.sqrt(limits.low * limits.high), 4
    losses: dict[int, float] = {}

    def peak(place: int) -> float:
        return middle * 2 ** (place / octave)

    best, stride = 0, 2 * octave
    while len(losses) < runs and stride:
        near = [best, best + stride, best - stride]
        left = [k for k in near if k not in losses and limits.low <= peak(k) <= limits.high]
        if not left:
            stride //= 2
            continue
        try:
            losses[left[0]] = meter.train(by_hand(problem, shape(peak(left[0])))).loss
        except DivergedError:
            losses[left[0]] = math.inf
        except BudgetSpentError:
            break
        best = min(losses, key=lambda k: (losses[k], k))
    return peak(best)


def tuned(
    problem: Problem, meter: Meter, shape: Callable[[float], Curve], limits: Range
) -> Evaluated | None:
    """Every peak of the grid on one seed, then knock-out rounds on fresh seeds with what is left.

    Args:
        shape: The learning rate over the run, given its peak.
        limits: Of the grid.
    """
    meter.objective.budget.release()
    for peak in grid(limits.low, limits.high, meter.limit):
        try:
            meter.train(by_hand(problem, shape(peak)))
        except DivergedError:
            continue
        except BudgetSpentError:
            break
    return meter.choose()


@final
@dataclass(frozen=True)
class TunedPeak(Method):
    """A shape of the learning rate; its peak, and nothing else, is tuned over a grid in equal ratios.

    Momentum is 0.9 and weight decay 5e-4 for SGD; see :data:`PRACTICE`. Half of the budget, for at
    most 19 peaks, goes to one run of each; the rest to knock-out rounds on fresh seeds.

    Args:
        shape: From a peak to the learning rate over the run.
    """

    shape: Callable[[float], Curve]

    def refused(self, problem: Problem) -> str | None:
        return grouped(problem)

    def search(self, problem: Problem, meter: Meter) -> Evaluated | None:
        return tuned(problem, meter, self.shape, peaks(problem))
