"""Times of many candidates, each measured in every round, so that what drifts drifts for all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import check_whole

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Stopwatch:
    """How times are taken: the median of interleaved repetitions.

    Args:
        repeats: Of each candidate, counted.
        warm_up: Before them, not counted.
        clock: Seconds. `time.process_time` leaves out what other processes take, and the waiting.

    Example:
        >>> watch = Stopwatch(repeats=3, warm_up=1)
        >>> watch.milliseconds({"nothing": lambda: None})["nothing"] < 1
        True
    """

    repeats: int = 50
    warm_up: int = 10
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        check_whole("repeats", self.repeats)
        check_whole("warm_up", self.warm_up, 0)

    def milliseconds(
        self,
        candidates: Mapping[Name, Callable[[], Any]],
        on_round: Callable[[], None] | None = None,
    ) -> dict[Name, float]:
        """The median time of each candidate."""
        times: dict[Name, list[float]] = {name: [] for name in candidates}
        for turn in range(self.warm_up + self.repeats):
            for name, call in candidates.items():
                begin = self.clock()
                call()
                times[name].append(self.clock() - begin)
            if on_round is not None and turn >= 0:
                on_round()
        return {name: 1e3 * statistics.median(row[self.warm_up :]) for name, row in times.items()}

    def to_json(self) -> dict[str, Any]:
        return {
            "repeats": self.repeats, "warm_up": self.warm_up,
            "clock": getattr(self.clock, "__name__", str(self.clock)),
        }  # fmt: skip
