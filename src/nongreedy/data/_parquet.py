"""Tables in Parquet, by pyarrow: the types of the columns are those of the file."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from .._extras import needed, optional
from ..errors import DataError
from ._columns import Column, check_missing, kept_names, left_out
from ._source import check_unpacked, reading


def read_parquet(path: Path, target: str | None, drop: Collection[str]) -> list[Column]:
    """Read a .parquet file: numbers as numbers; text, booleans and categories as words.

    Raises:
        DataError: If the file is damaged, has no rows, or a column of another type or with missing values.
        MissingExtraError: If pyarrow is not installed.
    """
    needed("A .parquet file", "pyarrow")
    arrow, parquet = optional("", "pyarrow"), optional("", "pyarrow.parquet")
    with reading(path, "Write it again, for example with DataFrame.to_parquet(path, index=False)."):
        with parquet.ParquetFile(path) as file:
            kept = kept_names(path, file.schema_arrow.names, target, drop)
            rows = file.metadata.num_rows
            check_unpacked(path, path.stat().st_size, 8 * rows * len(kept))
            table = file.read(columns=kept)
        if not rows:
            raise DataError(f"{path} has columns, but no rows. Add a row for each example.")
        return [_column(path, arrow, name, table.column(name), target) for name in kept]


def _column(path: Path, arrow: Any, name: str, cells: Any, target: str | None) -> Column:
    kinds, kind = arrow.types, cells.type
    check_missing(path, name, cells.null_count, len(cells), target)
    if kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind):
        values = cells.cast(arrow.float64(), safe=False).to_numpy()
        check_missing(path, name, int(np.isnan(values).sum()), len(values), target)
        return Column(name, values, whole=kinds.is_integer(kind))
    if kinds.is_dictionary(kind):
        kind = kind.value_type
    if not (kinds.is_boolean(kind) or kinds.is_string(kind) or kinds.is_large_string(kind)):
        raise DataError(
            f"{path}: column {name!r} is of type {kind}, but numbers, text and booleans are read. Convert "
            f"it, or leave it out: {left_out(name)}."
        )
    words, places = np.unique([str(cell) for cell in cells.to_pylist()], return_inverse=True)
    return Column(name, places.astype(np.float64), tuple(words.tolist()))
