"""Rounds on common fresh seeds, after each of which the worse half leaves."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

Contender = TypeVar("Contender")


def knockout(
    contenders: Sequence[Contender],
    judge: Callable[[Contender, int], float],
    rounds: Iterable[Sequence[int]],
) -> Iterator[list[Contender]]:
    """Find the best of some that can only be judged with noise.

    All that stand are judged on the same seeds, and the worse half leaves, by the mean of everything that
    it was judged by. Whoever fails on a seed is out; a round in which all fail says nothing, and ends it.

    Args:
        contenders: Whoever competes.
        judge: (contender, seed) -> what is to be small; infinite or NaN where it failed.
        rounds: The seeds of each round. Whoever counts costs ends it where they end.

    Yields:
        After each round those that stand, the best first. What `judge` raises comes through, so what
        stood after the last whole round is known.

    Example:
        >>> list(knockout([3, 1, 2], lambda number, seed: number, [[0], [1]]))
        [[1, 2], [1]]
    """
    standing = [(each, list[float]()) for each in contenders]
    for seeds in rounds:
        if len(standing) < 2:
            return
        for contender, values in standing:
            for seed in seeds:
                values.append(judge(contender, seed))
                if not math.isfinite(values[-1]):
                    break
        finished = [entry for entry in standing if math.isfinite(sum(entry[1]))]
        if not finished:
            return
        finished.sort(key=lambda entry: statistics.fmean(entry[1]))
        standing = finished[: (len(finished) + 1) // 2]
        yield [contender for contender, _ in standing]
