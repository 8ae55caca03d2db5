"""A table as networks that were measured say it should be."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ._architecture import Architecture
from ._table import CostTable

# Standard deviations of what a table may be wrong by: each cost, all of them together, what is fixed (as
# shares of them, and of the mean network); and of what a measured network has of its own.
EACH, ALL, FIXED, OWN = 0.15, 0.15, 0.15, 0.01


def corrected(table: CostTable, measured: Sequence[tuple[Architecture, float]]) -> CostTable:
    r"""The most likely table after whole networks were measured: a linear Gaussian update.

    .. math:: c \sim N(c_0, P), \quad y = H c + e, \quad
        \hat c = c_0 + P H^\top (H P H^\top + R)^{-1} (y - H c_0)

    c has all costs and what is fixed, each row of H says which of them a network has. An error is so laid
    on the choices of the networks that show it, on all costs alike, or on what is fixed, as is likeliest.

    Args:
        table: Of the layers by themselves.
        measured: Networks with what they cost.
    """
    before = np.array([*itertools.chain(*table.costs), table.fixed])
    starts = list(itertools.accumulate((len(row) for row in table.costs), initial=0))
    has = np.zeros((len(measured), len(before)))
    for row, (architecture, _) in zip(has, measured, strict=True):
        parts = zip(starts[:-1], table.space.layers, architecture.choices, strict=True)
        row[[first + options.choices().index(choice) for first, options, choice in parts]] = 1
        row[-1] = 1
    found = np.array([cost for _, cost in measured])
    layers = np.append(before[:-1], 0.0)
    spread = ALL**2 * np.outer(layers, layers) + np.diag((EACH * layers) ** 2)
    spread[-1, -1] = (FIXED * found.mean()) ** 2
    noise = np.diag((OWN * found) ** 2)
    gain = np.linalg.solve(has @ spread @ has.T + noise, found - has @ before)
    after = before + spread @ has.T @ gain
    rows = [tuple(map(float, after[a:b])) for a, b in itertools.pairwise(starts)]
    return replace(table, costs=tuple(rows), fixed=float(after[-1]))
