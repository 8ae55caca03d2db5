"""Edges of windows: where, relative to a run, one ends and the next begins."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

_ROUNDING = 1e-9  # of a position times the number of steps, which should be a whole number


def checked_edges(given: Sequence[float]) -> tuple[float, ...]:
    """The edges as floats, if they rise strictly between 0 and 1; else a ValueError."""
    edges = tuple(float(edge) for edge in given)
    bounded = (0.0, *edges, 1.0)
    if not edges or not all(a < b for a, b in itertools.pairwise(bounded)):
        raise ValueError(
            f"`edges` must rise strictly between 0 and 1, the beginning and the end of the run, but "
            f"got {tuple(given)}. For windows of equal length give their number: Windows(4)."
        )
    return edges


def first_steps(count: int, edges: Sequence[float] | None, steps: int) -> Tensor:
    """The first step of each window and, at the end, `steps`: shape (count + 1,), int64.

    Of `count` equal windows, number j begins at the step ceil(j steps / count), in whole numbers; with
    edges, at the ceiling of the edge times the steps.
    """
    if edges is None:
        return -((-torch.arange(count + 1) * steps) // count)
    inner = torch.tensor(edges, dtype=torch.float64) * steps
    inner = (inner - _ROUNDING).ceil().long()
    return torch.cat([torch.tensor([0]), inner, torch.tensor([steps])])


def equal_edges(count: int) -> tuple[float, ...]:
    """Those of `count` windows of equal length."""
    return tuple(j / count for j in range(1, count))
