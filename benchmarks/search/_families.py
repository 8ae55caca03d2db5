"""Families of shapes of a learning rate: its course over a run as a share of a base rate, at most 1.

Formulas are those of the code that the authors of arXiv:2603.10301 published (google/init2winit, folder
``projects/optlrschedule``), as are the ranges of ``warm_up``, ``first``, ``first_at``, ``second`` and
``second_at`` of `SPLINE`, from its test configuration. All other ranges are ours. So is that knots
stand where they are drawn, not at whole steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """Shapes of a few parameters.

    Args:
        words: What it is.
        ranges: Name of a parameter -> where it is searched; in ratios where the least is above 0 and the
            most above 1.
        course: The values of parameters, and t/T for t = 0 .. T-1 -> the share of the base rate at each.
    """

    words: str
    ranges: Mapping[str, tuple[float, float]]
    course: Callable[[Mapping[str, float], Array], Array]

    def shape(self, parameters: Mapping[str, float], steps: int) -> Array:
        """Shares of the base rate, shape (steps,), from 0 to 1."""
        return self.course(parameters, np.arange(steps) / steps).clip(0.0, 1.0)


def through(x: list[float], y: list[float], time: Array) -> Array:
    """Monotone cubics between knots (PCHIP), so that nothing lies above or below both neighbours."""
    from scipy.interpolate import PchipInterpolator

    places, first = np.unique(x, return_index=True)  # of knots that coincide the first one counts
    return PchipInterpolator(places, np.asarray(y)[first])(time)


def warmed(warm_up: float, time: Array, falling: Array) -> Array:
    """A straight line from 0 to 1, then what falls."""
    return np.where(time < warm_up, time / warm_up, falling)


def cosine(p: Mapping[str, float], time: Array) -> Array:
    """Half a cosine, to a power."""
    share = ((time - p["warm_up"]) / (1 - p["warm_up"])).clip(0.0)
    return warmed(p["warm_up"], time, ((1 + np.cos(np.pi * share)) / 2) ** p["exponent"])


def spline(p: Mapping[str, float], time: Array) -> Array:
    """From 1 through two points, each no higher than the one before, to 0."""
    first_at = p["warm_up"] + p["first_at"] * (1 - p["warm_up"])
    second_at = first_at + p["second_at"] * (1 - first_at)
    x = [p["warm_up"], first_at, second_at, 1.0]
    y = [1.0, p["first"], p["second"] * p["first"], 0.0]
    return warmed(p["warm_up"], time, through(x, y, time.clip(p["warm_up"])))


def smooth(p: Mapping[str, float], time: Array) -> Array:
    """From anywhere through two points and a peak of 1, in any order, to anywhere."""
    second_at = p["first_at"] + p["second_at"] * (1 - p["first_at"])
    x = [p["peak_at"], 0.0, p["first_at"], second_at, 1.0]
    return through(x, [1.0, p["start"], p["first"], p["second"], p["end"]], time)


WARM_UP, SHARE = (0.01, 0.25), (0.0, 1.0)
FAMILIES = {
    "cosine": Family(
        "warm-up, half a cosine to a power", {"warm_up": WARM_UP, "exponent": (0.25, 4.0)}, cosine
    ),
    "spline": Family(
        "warm-up, then down through two points",
        {"warm_up": WARM_UP, "first": (0.1, 1.0)}
        | dict.fromkeys(("first_at", "second", "second_at"), SHARE),
        spline,
    ),
    "smooth": Family(
        "through two points and a peak, not monotone",
        dict.fromkeys(
            ("start", "end", "peak_at", "first", "first_at", "second", "second_at"), SHARE
        ),
        smooth,
    ),
}


def drawn(trial: Any, family: Family) -> dict[str, float]:
    """The parameters that Optuna suggests for a trial."""
    return {
        name: trial.suggest_float(name, low, high, log=low > 0 and high > 1)
        for name, (low, high) in family.ranges.items()
    }
