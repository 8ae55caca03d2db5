"""Regret against cost: how far a search's validation loss lies above the best of all methods."""

from collections.abc import Sequence

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
