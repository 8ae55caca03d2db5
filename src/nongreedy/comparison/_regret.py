"""Regret against cost: how far a search's validation loss lies above the best of all methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ._piece import Piece

Course = list[tuple[float, float]]  # (cost, value), constant from one entry to the next


def regrets(pieces: Sequence[Piece], measure: str = "validation_loss") -> dict[str, Course]:
    r"""How far the mean over outer seeds lies from the best such mean at the end of all methods.

    .. math:: r_m(c) = \operatorname{mean}_k J_{mk}(c) - \min_m \operatorname{mean}_k J_{mk}

    J is the measure in fresh trainings of what the search would have returned at the cost c; where no one
    asked for these, the best validation loss that it had seen by then. Of an accuracy, of which more is
    better, the difference is the other way round.

    A method's curve begins where each of its seeds has a first value; one at which a seed never had
    one is left out.
    """
    groups: dict[str, list[Course]] = {}
    for piece in pieces:
        groups.setdefault(piece.method, []).append(piece.course(measure))
    means = {name: mean(curves) for name, curves in groups.items() if all(curves)}
    sign = -1.0 if measure.endswith("accuracy") else 1.0
    best = min((sign * curve[-1][1] for curve in means.values()), default=0.0)
    return {name: [(cost, sign * value - best) for cost, value in c] for name, c in means.items()}


def reached(line: Course, level: float) -> float | None:
    """The cost from which on the regret is at most `level`; None if it never is to the end."""
    cost = None
    for place, value in line:
        cost = None if value > level else place if cost is None else cost
    return cost


@dataclass(frozen=True)
class Drawn:
    """Regrets on a logarithmic axis, where the best of all, 0, has no place of its own.

    Attributes:
        lines: Method -> (cost, value), values below `floor` lifted to it, up to the common `end`.
        floor: Half of the least positive regret.
        top: Above most of the values: a few that nearly diverged would hide the others.
    """

    lines: dict[str, Course]
    floor: float
    end: float
    top: float

    @classmethod
    def of(cls, curves: Mapping[str, Course]) -> Drawn:
        """What of these curves can be drawn."""
        values = [value for curve in curves.values() for _, value in curve]
        positive = [value for value in values if 0 < value < np.inf] or [1e-3]
        floor = min(positive) / 2
        end = 1.03 * max((curve[-1][0] for curve in curves.values()), default=1.0)
        lines = {
            name: [(cost, max(value, floor)) for cost, value in (*curve, (end, curve[-1][1]))]
            for name, curve in curves.items()
        }
        return cls(lines, floor, end, 2 * float(np.quantile(positive, 0.95)))


def mean(curves: Sequence[Course]) -> Course:
    """The mean of step functions, from where the last of them begins."""
    first = max(curve[0][0] for curve in curves)
    costs = sorted({cost for curve in curves for cost, _ in curve if cost >= first})
    values = np.mean([_at(curve, costs) for curve in curves], axis=0)
    return list(zip(costs, values.tolist(), strict=True))


def _at(curve: Course, costs: Sequence[float]) -> np.ndarray:
    """The values of a step function at these costs."""
    where, values = zip(*curve, strict=True)
    return np.asarray(values)[np.searchsorted(where, costs, side="right") - 1]
