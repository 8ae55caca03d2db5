"""Selection: which examples of a source become training, validation and test data."""

from collections.abc import Mapping

import torch

from ..errors import DataError, is_whole
from ._source import Parts, Source


def select(
    parts: Parts, *, validation: float, test: float, caps: Mapping[str, int | None], seed: int
) -> dict[str, Source]:
    """Divide what a reader found into train, validation and test.

    Splits that the source makes itself are kept. The others are cut from a seeded permutation of
    the training source: first test, then validation, then training. Caps shorten afterwards, so
    they never move an example from one split to another.

    Raises:
        DataError: If a fraction is not strictly between 0 and 1, a cap is not a positive whole
            number or exceeds what there is, or a split would be empty.
    """
    for name, fraction in (("validation", validation), ("test", test)):
        if not 0 < fraction < 1:  # also refuses NaN
            raise DataError(
                f"`0 < {name} < 1` must hold, but got {name}={fraction!r}. It is a fraction; to cap "
                f"a number of examples use {name}_examples."
            )
    rest, chosen = _shuffled(parts.train, seed), {}
    own = {"test": (parts.test, test), "validation": (parts.validation, validation)}
    for split, (source, fraction) in own.items():
        if source is not None:
            chosen[split] = _shuffled(source, seed)
        else:
            chosen[split], rest = rest.split(_size(rest, split, fraction))
    chosen["train"] = rest
    return {split: _capped(source, split, caps[split]) for split, source in chosen.items()}


def _shuffled(source: Source, seed: int) -> Source:
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))
    return source.take(order)


def _size(source: Source, split: str, fraction: float) -> int:
    """How many examples this fraction is, at least one."""
    size = max(1, round(fraction * len(source)))
    if size >= len(source):
        raise DataError(
            f"{source.name} leaves no examples for training: {split}={fraction} takes {size} of "
            f"{len(source)}. Use at least 3 examples, or give {split} data of their own."
        )
    return size


def _capped(source: Source, split: str, cap: int | None) -> Source:
    if cap is None:
        return source
    if not is_whole(cap):
        raise DataError(
            f"`{split}_examples` must be a positive whole number, or None for all, but got "
            f"{split}_examples={cap!r}."
        )
    if cap > len(source):
        raise DataError(
            f"{split}_examples={cap} exceeds the {len(source)} {split} examples of "
            f"{source.name}. Lower it, or change the fractions `validation` and `test`."
        )
    return source.split(cap)[0]
