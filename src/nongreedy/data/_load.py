"""Loading: recognise a format, choose the examples, fetch only those, standardise."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._extras import needed
from ..errors import DataError, check_path, nearest_name
from ._cifar import is_cifar_folder, read_cifar_folder
from ._idx import is_idx_folder, read_idx_folder
from ._image_folder import is_image_folder, read_image_folder
from ._npz import is_npz, read_npz
from ._select import select
from ._source import Parts, Source, stored


@dataclass(frozen=True)
class Splits:
    """Examples ready for a task.

    Attributes:
        name: Where they come from.
        train: Inputs, float32 ``(N, C, H, W)``, standardised; and targets, int64 ``(N,)``. Text:
            both int64 ``(N, context)``.
        validation: The same, by the mean and standard deviation of ``train``.
        test: The same.
        classes: Names, by class number.
    """

    name: str
    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor] | None
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Format:
    """One row of the table of formats: how a path is recognised, and what reads it."""

    name: str
    recognised_by: str
    accepts: Callable[[Path], bool]
    read: Callable[[Path], Parts]


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
           ".npz with x_train, y_train[, x_val, y_val][, x_test, y_test], or x, y, or inputs, targets",
           is_npz, read_npz),
    Format("image folder",
           "directory or .zip with train|val|test/<class>/*, or <class>/*; png, jpg, bmp, webp, tif",
           is_image_folder, read_image_folder),
)  # fmt: skip


def describe() -> list[tuple[str, str]]:
    """Return rows ``(format, how it is recognised)`` of everything that `load` reads."""
    embedded = [(name, "by this name; ships with scikit-learn") for name in NAMES]
    return embedded + [(format.name, format.recognised_by) for format in FORMATS]


def load(
    name_or_path: str | os.PathLike,
    *,
    validation: float = 0.15,
    test: float = 0.2,
    train_examples: int | None = None,
    validation_examples: int | None = None,
    test_examples: int | None = None,
    seed: int = 0,
) -> Splits:
    r"""Load images with labels, split and standardised.

    .. math:: x \leftarrow (x - \mu_c) / \sigma_c

    with the mean and standard deviation of each channel c over the training split alone, applied
    to all splits; a channel that is constant there is only centred.

    Args:
        name_or_path: One of `NAMES`, or a path in one of the formats of `describe`.
        validation: Fraction of the examples outside the test split that is held out, strictly
            between 0 and 1; unused where the source has a validation split of its own.
        test: Fraction of all examples, likewise; unused where the source has a test split.
        train_examples: At most so many, chosen by the seed; fewer are decoded then. The smaller
            of two such choices is contained in the larger.
        validation_examples: Likewise.
        test_examples: Likewise.
        seed: Decides who is held out. Equal seeds give equal splits on every machine.

    Returns:
        The splits, disjoint, in an order that the seed shuffles.

    Raises:
        DataError: If the source is unknown, missing, empty, broken, or smaller than asked.

    Example:
        >>> splits = load("digits")
        >>> splits.train[0].shape
        torch.Size([1222, 1, 8, 8])
    """
    check_path("name_or_path", name_or_path, f" or one of the names {', '.join(NAMES)}")
    name, parts = _parts(name_or_path)
    caps = {"train": train_examples, "validation": validation_examples, "test": test_examples}
    chosen = select(parts, validation=validation, test=test, caps=caps, seed=seed)
    inputs = {split: _fetched(name, split, source) for split, source in chosen.items()}
    _standardise(name, inputs)
    ready = {split: (inputs[split], chosen[split].targets) for split in chosen}
    return Splits(name, ready["train"], ready["validation"], ready["test"], parts.classes)


def _parts(name_or_path: str | os.PathLike) -> tuple[str, Parts]:
    """The name of the data, and what its reader gave."""
    if isinstance(name_or_path, str) and name_or_path in EMBEDDED:
        return name_or_path, EMBEDDED[name_or_path]()
    path = Path(name_or_path).expanduser()
    try:
        if not path.exists():
            raise DataError(_missing(os.fspath(name_or_path)))
        for format in FORMATS:
            if format.accepts(path):
                return path.stem if path.is_file() else path.resolve().name, format.read(path)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error}. Check its permissions.") from error
    raise DataError(_unrecognised(path))


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
    hint = " For CIFAR-10 get the binary version: pickles can run code, so they are not read."
    return f"{path} is in no known format.{hint if pickled else ''} Known are: {formats}."


def _fetched(name: str, split: str, source: Source) -> Tensor:
    images = source.fetch(torch.arange(len(source)))
    # The sum of squares too, which the standard deviation will need.
    if images.is_floating_point() and not images.square().sum().isfinite():
        raise DataError(
            f"{name} has NaN, infinite or huge pixels (beyond float32) among its {split} images. "
            f"Clean or rescale them."
        )
    return images.to(torch.float32)


def _standardise(name: str, inputs: dict[str, Tensor]) -> None:
    """Centre and scale every split in place, by the statistics of ``inputs["train"]``."""
    shape = inputs["train"].shape[1:]
    for split, images in inputs.items():
        if images.shape[1:] != shape or 0 in shape:
            raise DataError(
                f"{name} has {split} images of shape {tuple(images.shape[1:])}, but training "
                f"images of shape {tuple(shape)}. Give all of them one shape, of at least 1x1."
            )
    variance, mean = torch.var_mean(inputs["train"], (0, 2, 3), correction=0, keepdim=True)
    deviation = variance.sqrt()
    deviation[deviation == 0] = 1
    for images in inputs.values():
        images.sub_(mean).div_(deviation)
