"""Regret against cost: how far a search's validation loss lies above the best of all methods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .piece import Piece

Line = list[tuple[float, float]]  # (cost, value), constant from one entry to the next


def regrets(pieces: Sequence[Piece]) -> dict[str, Line]:
    r"""Mean over outer seeds, minus the least such mean at the end of all methods.

    .. math:: r_m(c) = \operatorname{mean}_k J_{mk}(c) - \min_m \operatorname{mean}_k J_{mk}

    J is the loss in fresh trainings of what the search would have returned at the cost c; where no one
    asked for these, the best loss that it had seen by then.

    A method's curve begins where each of its seeds has a first loss; one at which a seed never had
    one is left out.
    """
    groups: dict[str, list[Line]] = {}
    for piece in pieces:
        groups.setdefault(piece.method, []).append(piece.judged or piece.curve)
    means = {name: mean(curves) for name, curves in groups.items() if all(curves)}
    best = min((curve[-1][1] for curve in means.values()), default=0.0)
    return {name: [(cost, value - best) for cost, value in c] for name, c in means.items()}


def mean(curves: Sequence[Line]) -> Line:
    """The mean of step functions, from where the last of them begins."""
    first = max(curve[0][0] for curve in curves)
    costs = sorted({cost for curve in curves for cost, _ in curve if cost >= first})
    values = np.mean([_at(curve, costs) for curve in curves], axis=0)
    return list(zip(costs, values.tolist(), strict=True))


def _at(curve: Line, costs: Sequence[float]) -> np.ndarray:
    """The values of a step function at these costs."""
    where, values = zip(*curve, strict=True)
    return np.asarray(values)[np.searchsorted(where, costs, side="right") - 1]
