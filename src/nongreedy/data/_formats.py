"""Formats: how a path is recognised, and what reads it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .._extras import needed
from ..errors import DataError, nearest_name
from ._cifar import is_cifar_folder, read_cifar_folder
from ._idx import is_idx_folder, read_idx_folder
from ._image_folder import is_image_folder, read_image_folder
from ._npz import is_npz, read_npz
from ._source import Parts, stored
from ._table import is_table, read_table


@dataclass(frozen=True)
class Format:
    """One row of the table of formats: how a path is recognised, and what reads it; if it has columns by
    name, which is to be predicted and which are left out."""

    name: str
    recognised_by: str
    accepts: Callable[[Path], bool]
    read: Callable[..., Parts]
    named: bool = False


def _digits() -> Parts:
    """1,797 images of shape ``(1, 8, 8)``, values 0 to 16; the source makes no split of its own."""
    needed("The data set 'digits'", "sklearn")
    # Here, not at the top: scikit-learn takes a second to import, and other formats do without.
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = torch.as_tensor(bunch.images, dtype=torch.float32)[:, None] / 16
    classes = tuple(str(name) for name in bunch.target_names)
    return Parts(stored("digits", images, torch.as_tensor(bunch.target)), classes)


EMBEDDED: dict[str, Callable[[], Parts]] = {"digits": _digits}
NAMES = tuple(EMBEDDED)

# Ordered: what has telling file names comes before the general image folder.
FORMATS = (
    Format("MNIST (IDX)",
           "directory with *-images-idx3-ubyte[.gz] and *-labels-idx1-ubyte[.gz]",
           is_idx_folder, read_idx_folder),
    Format("CIFAR-10 (binary)",
           "directory with data_batch_*.bin and test_batch.bin, or holding cifar-10-batches-bin",
           is_cifar_folder, read_cifar_folder),
    Format("NumPy archive",
           ".npz with x_train, y_train[, x_val, y_val][, x_test, y_test], or x, y, or inputs, targets; "
           "whole numbers are labels, others are predicted as they are",
           is_npz, read_npz),
    Format("table",
           ".csv, .tsv or .parquet with named columns, of which --target is to be predicted",
           is_table, read_table, named=True),
    Format("image folder",
           "directory or .zip with train|val|test/<class>/*, or <class>/*; png, jpg, bmp, webp, tif",
           is_image_folder, read_image_folder),
)  # fmt: skip


def describe() -> list[tuple[str, str]]:
    """Return rows ``(format, how it is recognised)`` of everything that `load` reads."""
    embedded = [(name, "by this name; ships with scikit-learn") for name in NAMES]
    return embedded + [(format.name, format.recognised_by) for format in FORMATS]


def read(
    name_or_path: str | os.PathLike, target: str | None, drop: tuple[str, ...]
) -> tuple[str, Parts]:
    """The name of the data, and what its reader gave.

    Args:
        target, drop: Columns of a table, to be predicted and to be left out.

    Raises:
        DataError: If there is no such data, in no known format, broken, or without columns by name.
    """
    if isinstance(name_or_path, str) and name_or_path in EMBEDDED:
        _refuse_columns(name_or_path, target, drop)
        return name_or_path, EMBEDDED[name_or_path]()
    path = Path(name_or_path).expanduser()
    try:
        if not path.exists():
            raise DataError(_missing(os.fspath(name_or_path)))
        for format in FORMATS:
            if format.accepts(path):
                name = path.stem if path.is_file() else path.resolve().name
                if format.named:
                    return name, format.read(path, target, drop)
                _refuse_columns(os.fspath(name_or_path), target, drop)
                return name, format.read(path)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error}. Check its permissions.") from error
    raise DataError(_unrecognised(path))


def _refuse_columns(what: str, target: str | None, drop: tuple[str, ...]) -> None:
    for role, given in (("target", target), ("drop", drop)):
        if given:
            raise DataError(
                f"`{role}` names columns of a table (.csv, .tsv, .parquet), and {what} is none: leave it out."
            )


def _missing(value: str) -> str:
    if Path(value).name == value and not Path(value).suffix:
        return (
            f"Unknown data set {value!r}, and no file or directory has this name."
            f"{nearest_name(value, NAMES)} Or give a path."
        )
    return f"No such file or directory: {value!r} (from {Path.cwd()}). Check the path."


def _unrecognised(path: Path) -> str:
    formats = "; ".join(f"{format.name}: {format.recognised_by}" for format in FORMATS)
    pickled = any((path / at / "data_batch_1").is_file() for at in ("", "cifar-10-batches-py"))
    tables = sorted(path.glob("*.csv")) if path.is_dir() else []
    if tables:
        return f"{path} is a folder of tables: give one of them, such as {tables[0]}."
    hint = " For CIFAR-10 get the binary version: pickles can run code, so they are not read."
    return f"{path} is in no known format.{hint if pickled else ''} Known are: {formats}."
