"""The best choice of each layer under a budget: the multiple-choice knapsack."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .._extras import needed

Rows = Sequence[Sequence[float]]


def knapsack(
    values: Rows,
    costs: Rows,
    most: float,
    least: float = -np.inf,
    *,
    near: Sequence[int] | None = None,
    moves: int = 0,
) -> list[int] | None:
    r"""Choose one entry of each row, exactly.

    .. math:: \max_c \sum_l v_{l, c_l} \quad\text{with}\quad
        \mathrm{least} \le \sum_l r_{l, c_l} \le \mathrm{most}

    Args:
        values: Of each layer's choices; rows may differ in length.
        costs: Likewise.
        most: That the costs may sum to.
        least: That they must.
        near: Entries of which at most `moves` may change; None is no such limit.

    Returns:
        The chosen entry of each row; None where nothing fits.

    Raises:
        ValueError: A value or cost that is not finite.

    Example:
        >>> knapsack([[0, 3], [0, 2]], [[1, 4], [1, 2]], most=5)
        [1, 0]
        >>> knapsack([[0, 3]], [[1, 4]], most=0.5) is None
        True
    """
    needed("The choice of an architecture", "scipy")
    from scipy.optimize import Bounds, LinearConstraint, milp

    value = np.concatenate([np.asarray(row, float) for row in values])
    cost = np.concatenate([np.asarray(row, float) for row in costs])
    if not (np.isfinite(value).all() and np.isfinite(cost).all()):
        raise ValueError("Values and costs of choices must be finite.")
    layer = np.repeat(np.arange(len(values)), [len(row) for row in values])
    one_each = (layer == np.arange(len(values))[:, None]).astype(float)
    # Scaled, since the solver's tolerances are absolute.
    scale = max(float(np.abs(cost).max()), 1e-300)
    rules = [
        LinearConstraint(one_each, 1, 1),  # pyright: ignore[reportArgumentType]
        LinearConstraint(cost[None] / scale, least / scale, most / scale),  # pyright: ignore
    ]
    starts = np.cumsum([0, *(len(row) for row in values)])
    if near is not None:
        kept = np.zeros_like(value)
        kept[[start + entry for start, entry in zip(starts[:-1], near, strict=True)]] = 1
        rules.append(LinearConstraint(kept[None], len(values) - moves, np.inf))  # pyright: ignore
    found = milp(
        -value / max(float(np.abs(value).max()), 1e-300),
        integrality=np.ones_like(value),
        bounds=Bounds(0, 1),
        constraints=rules,
        options={"mip_rel_gap": 0},
    )
    if found.x is None:
        return None
    return [int(np.argmax(found.x[a:b])) for a, b in itertools.pairwise(starts)]
