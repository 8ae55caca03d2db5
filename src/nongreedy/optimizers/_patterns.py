"""Which group of parameters each one is in: the first pattern that fits its name has it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from ._optimizer import Layout

VECTORS = "vectors"


def group_of(patterns: Iterable[str], name: str, dimensions: int) -> int:
    """The number, from 1, of the first pattern that fits a parameter; 0 where none does."""
    fits = (
        dimensions < 2 if pattern == VECTORS else fnmatch.fnmatchcase(name, pattern)
        for pattern in patterns
    )
    return next((number for number, fit in enumerate(fits, 1) if fit), 0)


def index_of(patterns: Sequence[str], layout: Layout, device: torch.device) -> Tensor:
    """The group of every entry of the flat vector, shape (P,).

    Raises:
        ValueError: A pattern that has no parameter.
    """
    groups = [group_of(patterns, name, len(shape)) for name, shape in layout]
    for number, pattern in enumerate(patterns, 1):
        if number not in groups:
            raise ValueError(
                f"No parameter is in the group {pattern!r}; there are {[name for name, _ in layout]}."
            )
    sizes = torch.tensor([torch.Size(shape).numel() for _, shape in layout])
    return torch.tensor(groups).repeat_interleave(sizes).to(device)


def torch_groups(patterns: Sequence[str], named: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
    """Parameter groups for ``torch.optim``, each with its pattern under ``"group"``."""
    rows = ["", *patterns]
    members: dict[str, list[Any]] = {pattern: [] for pattern in rows}
    for name, parameter in named:
        members[rows[group_of(patterns, name, parameter.dim())]].append(parameter)
    return [{"params": part, "group": pattern} for pattern, part in members.items() if part]
