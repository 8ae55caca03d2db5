"""Selection: which examples of a source become training, validation and test data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DataError, is_whole
from ._source import Parts, Source


@dataclass(frozen=True)
class Selection:
    """Some examples of one source, not yet fetched; ``indices`` is int64 of shape ``(n,)``."""

    source: Source
    indices: Tensor

    @property
    def targets(self) -> Tensor:
        return self.source.targets[self.indices]


def select(
    parts: Parts, *, validation: float, test: float, caps: Mapping[str, int | None], seed: int
) -> dict[str, Selection]:
    """Divide what a reader found into train, validation and test.

    Splits that the source makes itself are kept. The others are cut from a seeded permutation of
    the training source: first test, then validation, then training. Caps shorten afterwards, so
    they never move an example from one split to another.

    Raises:
        DataError: If a fraction is not strictly between 0 and 1, a cap is not a positive whole
            number or exceeds what there is, or a split would be empty.
    """
    for name, fraction in (("validation", validation), ("test", test)):
        _check_fraction(name, fraction)
    rest = Selection(parts.train, _shuffled(parts.train, seed))
    chosen = {}
    for split, own, fraction in (
        ("test", parts.test, test),
        ("validation", parts.validation, validation),
    ):
        if own is not None:
            chosen[split] = Selection(own, _shuffled(own, seed))
        else:
            chosen[split], rest = _cut(rest, split, fraction)
    chosen["train"] = rest
    return {split: _capped(each, split, caps[split]) for split, each in chosen.items()}


def _shuffled(source: Source, seed: int) -> Tensor:
    return torch.randperm(source.count, generator=torch.Generator().manual_seed(seed))


def _cut(selection: Selection, split: str, fraction: float) -> tuple[Selection, Selection]:
    """Return the first ``fraction`` of the selection, at least one example, and the rest."""
    count = len(selection.indices)
    size = max(1, round(fraction * count))
    if size >= count:
        raise DataError(
            f"{selection.source.name} leaves no examples for training: {split}={fraction} takes "
            f"{size} of {count}. Lower `{split}`, or use more data."
        )
    first, second = selection.indices[:size], selection.indices[size:]
    return Selection(selection.source, first), Selection(selection.source, second)


def _capped(selection: Selection, split: str, cap: int | None) -> Selection:
    if cap is None:
        return selection
    if not is_whole(cap):
        raise DataError(
            f"`{split}_examples` must be a positive whole number, or None for all, but got "
            f"{split}_examples={cap!r}."
        )
    if cap > len(selection.indices):
        raise DataError(
            f"{split}_examples={cap} exceeds the {len(selection.indices)} {split} examples of "
            f"{selection.source.name}. Lower it, or change the fractions `validation` and `test`."
        )
    return Selection(selection.source, selection.indices[:cap])


def _check_fraction(name: str, fraction: float) -> None:
    if not 0 < fraction < 1:  # also refuses NaN
        raise DataError(
            f"`0 < {name} < 1` must hold, but got {name}={fraction!r}. It is a fraction; to cap a "
            f"number of examples use {name}_examples."
        )
