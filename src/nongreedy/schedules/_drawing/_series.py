"""Numbers for drawing: curves over a run at few points, means over blocks, seeds in a band."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from .._basis import Linear
from .._curve import Curve

T = TypeVar("T")
POINTS = 400  # of a line over a run are drawn
SHOWN = 20  # outer steps, at most, of which hypergradients are in the page


def blocks(values: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Middles of at most `POINTS` blocks of steps, and the mean of the values in each."""
    if len(values) != steps:
        raise ValueError(f"{len(values)} values for {steps} steps")
    edges = np.linspace(0, steps, min(steps, POINTS) + 1).round().astype(int)
    sums = np.add.reduceat(values, edges[:-1])
    return (edges[:-1] + edges[1:]) / 2, sums / np.diff(edges)


def over_run(curve: Curve, steps: int) -> tuple[np.ndarray, np.ndarray, bool]:
    """Places and values of a curve, and whether straight lines join them (else each value holds up to
    the next place)."""
    values = curve.values(steps).numpy()
    if isinstance(curve.basis, Linear):
        knots = curve.basis.positions(steps).numpy()
        even = np.linspace(0, steps - 1, min(steps, POINTS)).round().astype(int)
        places = np.union1d(knots, even)
        return places + 0.5, values[places], True
    starts = np.flatnonzero(np.diff(values, prepend=np.nan))
    if len(starts) > POINTS:
        return *blocks(values, steps), True
    return np.append(starts, steps).astype(float), np.append(values[starts], values[-1]), False


def band(columns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean over seeds, and the standard deviation if there are several."""
    table = np.stack(columns)
    return table.mean(0), table.std(0, ddof=1) if len(table) > 1 else None


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most so many of them, the first and the last included."""
    places = np.linspace(0, len(items) - 1, min(len(items), most))
    return [items[place] for place in sorted({round(place) for place in places})]
