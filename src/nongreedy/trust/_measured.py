"""What is known of a schedule's hypergradients, before anyone judges it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..schedules import Curve
from ..statistics import Growth, Sharing, Signal
from ._smoothness import Smoothness


@dataclass(frozen=True)
class Measured:
    """The fields of :class:`Trust`, which says what they are."""

    steps: int
    seeds: int
    curves: Mapping[str, Curve]
    signals: Mapping[str, Signal]
    sharing: Mapping[str, Sharing]
    growth: Growth | None = None
    smoothness: Smoothness | None = None
    failures: tuple[str, ...] = ()
    cost: float = 0.0
