"""How the columns of a table become inputs: by what the training rows have, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import DataError
from ._columns import shown

_LIMIT = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class Encoded:
    """Inputs of each split, float32 ``(N, D)``; the names of the D; what was done, in sentences."""

    inputs: dict[str, Tensor]
    names: tuple[str, ...]
    told: tuple[str, ...]


def encode(
    what: str, columns: Mapping[str, tuple[str, ...]], tables: Mapping[str, Tensor]
) -> Encoded:
    r"""Standardise columns of numbers, and give each word of the others an input that is 0 or 1.

    .. math:: x \leftarrow (x - \mu) / \sigma

    with the mean and standard deviation of the column over the training rows alone. Words are those of
    the training rows: of another, all inputs of its column are 0. A column that is constant in the
    training rows tells nothing, and is left out.

    Args:
        columns: Name -> words, of which the tables have the numbers; none for a column of numbers.
        tables: Split -> values, float64 ``(N, columns)``.

    Raises:
        DataError: If a number is NaN, infinite or beyond float32, or nothing is left.
    """
    names = list(columns)
    for split, table in tables.items():
        _check_finite(what, split, names, table)
    train = tables["train"]
    low, high = train.aminmax(dim=0)
    varied = (low < high).tolist()
    numbers = [k for k, name in enumerate(names) if varied[k] and not columns[name]]
    worded = [k for k, name in enumerate(names) if varied[k] and columns[name]]
    if not numbers and not worded:
        raise DataError(
            f"{what}: all columns are constant in the {len(train)} training rows, so that nothing can be "
            "learned from them. Give more rows."
        )
    mean = train[:, numbers].mean(0)
    centred = {split: table[:, numbers] - mean for split, table in tables.items()}
    deviation = centred["train"].square().mean(0).sqrt()
    blocks = {split: [table / deviation] for split, table in centred.items()}
    inputs, told = [names[k] for k in numbers], _told(names, numbers, varied, len(train))
    for k in worded:
        seen = train[:, k].unique()
        inputs += [f"{names[k]}={columns[names[k]][int(number)]}" for number in seen]
        told.append(
            f"{names[k]}: {len(seen)} inputs, one for each of its words in the training rows."
        )
        for split, table in tables.items():
            blocks[split].append(table[:, k, None] == seen)
            if unseen := int((~torch.isin(table[:, k], seen)).sum()):
                told.append(
                    f"{names[k]}: {unseen} {split} rows have other words, and 0 in all of these inputs."
                )
    ready = {split: torch.cat(parts, 1).to(torch.float32) for split, parts in blocks.items()}
    for split, table in ready.items():
        _check_finite(what, split, inputs, table)
    return Encoded(ready, tuple(inputs), tuple(told))


def _told(names: list[str], numbers: list[int], varied: list[bool], rows: int) -> list[str]:
    told = []
    if numbers:
        count = "1 column" if len(numbers) == 1 else f"{len(numbers):,} columns"
        told.append(
            f"{count} of numbers, standardised by the mean and deviation of {rows} training rows."
        )
    if constant := [name for name, varies in zip(names, varied, strict=True) if not varies]:
        told.append(f"Left out, constant in the training rows: {shown(constant)}.")
    return told


def _check_finite(what: str, split: str, names: list[str], table: Tensor) -> None:
    wrong = (~(table.abs() <= _LIMIT)).sum(0)
    if bool(wrong.any()):
        at = int(wrong.nonzero()[0, 0])
        raise DataError(
            f"{what}: column {names[at]!r} has NaN, infinite or huge numbers (beyond float32) in "
            f"{int(wrong[at])} {split} rows. Clean or rescale them."
        )
