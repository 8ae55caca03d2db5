"""Tables: .csv, .tsv and .parquet files with named columns, of which one is to be predicted."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError
from ._columns import Column, check_input, left_out, most_words
from ._delimited import read_delimited
from ._parquet import read_parquet
from ._source import Parts, Source

_READERS = {".csv": read_delimited, ".tsv": read_delimited, ".parquet": read_parquet}
_CLASSES = 20  # different whole numbers that are classes
_MOST_CLASSES = 1000  # of words


def is_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in _READERS


def read_table(path: Path, target: str | None, drop: Collection[str]) -> Parts:
    """Read a table; a row is an example, and the column `target` is to be predicted from the others.

    Words are classes, as are at most 20 different whole numbers on at least twice as many rows; other
    numbers are predicted as they are. A source of values of all columns, float64 ``(n, columns)``.

    Raises:
        DataError: If the table or one of its columns cannot be used.
    """
    columns = _READERS[path.suffix.lower()](path, target, drop)
    inputs = [column for column in columns if column.name != target]
    for column in inputs:
        check_input(path, column)
    (predicted,) = (column for column in columns if column.name == target)
    targets, classes = _targets(path, predicted)

    def fetch(indices: torch.Tensor) -> torch.Tensor:
        rows = indices.numpy()
        return torch.from_numpy(np.stack([column.values[rows] for column in inputs], 1))

    known = {column.name: column.words for column in inputs}
    source = Source(str(path), torch.tensor(targets), fetch)
    told = tuple(
        f"{column.name} counts the rows: leave it out, by {left_out(column.name)}, unless it means something."
        for column in inputs
        if column.whole and bool((np.diff(column.values) == 1).all())
    )
    return Parts(source, classes, columns=known, target=predicted.name, told=told)


def _targets(path: Path, column: Column) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers of classes, int64, and their names; or real numbers, float64, and none."""
    rows = len(column.values)
    if column.words:
        if len(column.words) > most_words(rows, _MOST_CLASSES):
            raise DataError(
                f"{path}: column {column.name!r} has {len(column.words)} different words in {rows} rows: too "
                f"many to be classes. Predict another, and leave it out: {left_out(column.name)}."
            )
        return column.values.astype(np.int64), column.words
    different, places = np.unique(column.values, return_inverse=True)
    if column.whole and len(different) <= min(_CLASSES, max(2, rows // 2)):
        return places.astype(np.int64), tuple(f"{number:.0f}" for number in different)
    return column.values, ()
