"""How methods are timed: in turns, each in units of the plain runs of its turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Body = Callable[[], object]
Name = TypeVar("Name", bound=Hashable)


@dataclass
class Timing:
    """A method's turns: in plain runs of the same turn, and in seconds."""

    ratios: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """In plain runs."""
        return statistics.median(self.ratios)

    @property
    def span(self) -> str:
        """Of all turns."""
        return f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"

    def minus(self, other: Timing) -> Timing:
        """The difference within each turn in which both took part."""
        pairs = zip(self.ratios, other.ratios, strict=False)
        times = zip(self.seconds, other.seconds, strict=False)
        return Timing([a - b for a, b in pairs], [a - b for a, b in times])


def take_turns(
    base: Body, groups: Sequence[Mapping[Name, Body]], repetitions: int, dear: float
) -> tuple[Timing, dict[Name, Timing]]:
    """Run all bodies, then all again, and so on.

    Args:
        base: The plain run, which precedes each group; the unit is its median over a turn.
        groups: Name -> body, in the order of their turns; names are unique.
        dear: Bodies that took more plain runs than this in the first turn take no other: they are
            many times off, and the machine drifts.

    Returns:
        The timing of `base`, and of every body.
    """
    units, found = Timing(), {name: Timing() for group in groups for name in group}
    for _ in range(repetitions):
        plain, turn = [], dict[Name, float]()
        for group in groups:
            plain.append(_seconds(base))
            for name, body in group.items():
                if not found[name].ratios or found[name].ratios[0] <= dear:
                    turn[name] = _seconds(body)
        unit = statistics.median(plain)
        units.seconds += plain
        units.ratios += [seconds / unit for seconds in plain]
        for name, seconds in turn.items():
            found[name].seconds.append(seconds)
            found[name].ratios.append(seconds / unit)
    return units, found


def _seconds(body: Body) -> float:
    begin = time.perf_counter()
    body()
    return time.perf_counter() - begin
