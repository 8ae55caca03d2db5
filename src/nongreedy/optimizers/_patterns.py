"""Which group of parameters each one is in: the first pattern that fits its name has it."""

from __future__ import annotations

import fnmatch
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from ._optimizer import Layout

VECTORS = "vectors"
Stretch = tuple[int, int]  # of neighbouring entries: their group, and how many they are


def group_of(patterns: Iterable[str], name: str, dimensions: int) -> int:
    """The number, from 1, of the first pattern that fits a parameter; 0 where none does."""
    fits = (
        dimensions < 2 if pattern == VECTORS else fnmatch.fnmatchcase(name, pattern)
        for pattern in patterns
    )
    return next((number for number, fit in enumerate(fits, 1) if fit), 0)


def stretches_of(patterns: Sequence[str], layout: Layout) -> tuple[Stretch, ...]:
    """The groups of the flat vector's entries, neighbours of one group together.

    Raises:
        ValueError: A pattern that has no parameter.
    """
    groups = [group_of(patterns, name, len(shape)) for name, shape in layout]
    for number, pattern in enumerate(patterns, 1):
        if number not in groups:
            raise ValueError(
                f"No parameter is in the group {pattern!r}; there are {[name for name, _ in layout]}."
            )
    sizes = [math.prod(shape) for _, shape in layout]
    neighbours = itertools.groupby(zip(groups, sizes, strict=True), lambda pair: pair[0])
    return tuple((group, sum(size for _, size in pairs)) for group, pairs in neighbours)


def torch_groups(patterns: Sequence[str], named: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Parameter groups for ``torch.optim``, each with its pattern under ``"group"``."""
    rows = ["", *patterns]
    members: dict[str, list[Any]] = {pattern: [] for pattern in rows}
    for name, parameter in named:
        members[rows[group_of(patterns, name, parameter.dim())]].append(parameter)
    return [{"params": part, "group": pattern} for pattern, part in members.items() if part]
