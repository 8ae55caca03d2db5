"""What pieces say: scores, ranks, regret, wins, and ours against the best of four."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

FOUR = ("cosine", "linear", "one-cycle", "schedule-free")  # what ours is judged against


@dataclass(frozen=True)
class Score:
    """One method on one task.

    Args:
        values: By outer seed, what more of is better: points of accuracy, or less the loss in hundredths
            of a loss; minus infinity where nothing was found.
    """

    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values.values())

    @property
    def error(self) -> float:
        """Standard error of the mean over outer seeds; nan for a single one."""
        return standard_error([*self.values.values()])


Scores = Mapping[str, Mapping[str, Score]]  # task -> method -> its score


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; nan for fewer than two values, or where one is infinite."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return math.nan
    return statistics.stdev(values) / math.sqrt(len(values))


def ranks(row: Mapping[str, Score]) -> dict[str, float]:
    """1 for the best on a task; equal ones share the mean of their ranks."""
    means = {name: score.mean for name, score in row.items()}
    return {
        name: 1 + sum(o > mean for o in means.values()) + (_equal(means, mean) - 1) / 2
        for name, mean in means.items()
    }


def _equal(means: Mapping[str, float], mean: float) -> int:
    return sum(other == mean for other in means.values())


def best(row: Mapping[str, Score], names: Sequence[str] | None = None) -> str | None:
    """The method of the highest mean, of these names if they are given; the first of equal ones."""
    taking = [name for name in (row if names is None else names) if name in row]
    return max(taking, key=lambda name: row[name].mean, default=None)


@dataclass(frozen=True)
class Standing:
    """One method over all tasks in which it takes part.

    Args:
        tasks: Their number.
        rank: Mean of its ranks.
        regret: Mean of how far it lies below the best of each task.
        wins: Tasks on which it is the best.
        near: Tasks on which it is not below the best by more than one standard error of the difference.
    """

    tasks: int
    rank: float
    regret: float
    wins: int
    near: int


def standings(scores: Scores) -> dict[str, Standing]:
    """By method, least mean rank first."""
    rows: dict[str, list[tuple[float, float, bool, bool]]] = {}
    for row in scores.values():
        placed, first = ranks(row), best(row)
        assert first is not None
        for name in row:
            gap, error = difference(row[first], row[name])
            near = gap == 0 or gap <= error
            rows.setdefault(name, []).append((placed[name], gap, name == first, near))
    found = {}
    for name, entries in rows.items():
        rank, regret, wins, near = zip(*entries, strict=True)
        found[name] = Standing(
            len(entries), statistics.fmean(rank), statistics.fmean(regret), sum(wins), sum(near)
        )
    return dict(sorted(found.items(), key=lambda item: item[1].rank))


def difference(one: Score, other: Score) -> tuple[float, float]:
    """One less the other, and its standard error: over outer seeds in common, whose fresh trainings
    share their seeds, and where they are fewer than two of those of both."""
    common = sorted(one.values.keys() & other.values.keys())
    if one.values.keys() != other.values.keys() or len(common) < 2:
        return one.mean - other.mean, math.hypot(one.error, other.error)
    gaps = [one.values[seed] - other.values[seed] for seed in common]
    return statistics.fmean(gaps), standard_error(gaps)


@dataclass(frozen=True)
class Gain:
    """A method less the best of the four on a task, and the standard error of the difference."""

    rival: str
    gain: float
    error: float


def gains(scores: Scores, name: str) -> dict[str, Gain]:
    """By task on which the method and at least one of the four took part."""
    found = {}
    for task, row in scores.items():
        rival = best(row, FOUR)
        if name in row and rival is not None:
            found[task] = Gain(rival, *difference(row[name], row[rival]))
    return found


def grouped(
    values: Mapping[tuple[str, str, int], float], better: Callable[[str, float], float]
) -> dict[str, dict[str, Score]]:
    """Scores from (task, method, outer seed) -> a measure.

    Args:
        better: From a task and its measure to what more of is better.
    """
    rows: dict[str, dict[str, dict[int, float]]] = {}
    for (task, method, seed), value in values.items():
        found = better(task, value)
        entry = -math.inf if math.isnan(found) else found
        rows.setdefault(task, {}).setdefault(method, {})[seed] = entry
    return {task: {name: Score(seeds) for name, seeds in row.items()} for task, row in rows.items()}
