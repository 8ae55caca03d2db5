"""NumPy archives: ``x_train, y_train[, x_val, y_val][, x_test, y_test]``, or ``x, y``."""

import zipfile
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError
from ._source import Parts, Source, check_unpacked, counted_classes, reading, stored

_TRAIN_KEYS = (("x_train", "y_train"), ("x", "y"), ("inputs", "targets"))


def is_npz(path: Path) -> bool:
    return path.is_file() and path.suffix == ".npz"


def read_npz(path: Path) -> Parts:
    """Read images of shape ``(N, H, W)``, ``(N, C, H, W)`` or ``(N, H, W, C)``, or rows ``(N, D)``, and
    their targets.

    Channels count as last when the last dimension is 1 or 3 and the second is not. Classes are
    numbered up to the largest label; floating targets are real.

    Raises:
        DataError: If the archive is unreadable, lacks the keys, or an array is of another form.
    """
    advice = "Write it with np.savez(path, x_train=..., y_train=...), with numeric arrays."
    # The file is opened here because np.load leaves it open when the archive is broken.
    with reading(path, advice), path.open("rb") as file:
        # Without pickle: a data file must not be able to run code.
        if not zipfile.is_zipfile(file):  # of which NumPy says to load it unsafely
            file.seek(0)
            single = file.read(6) == b"\x93NUMPY"
            what = "a single array, as np.save writes" if single else "no archive of arrays"
            raise ValueError(f"it holds {what}")
        with zipfile.ZipFile(file) as members:
            unpacked = sum(member.file_size for member in members.infolist())
        check_unpacked(path, path.stat().st_size, unpacked)
        file.seek(0)
        archive = np.load(file, allow_pickle=False)
        with archive:
            sources, target = _sources(path, archive)
    first = next(iter(sources.values()))
    rows = first.fetch(torch.arange(1))
    columns = None if rows.dim() > 2 else {str(number): () for number in range(rows.shape[1])}
    real = first.targets.is_floating_point()
    classes = () if real else counted_classes(str(path), sources.values())
    return Parts.of(sources, classes, columns=columns, target=target)


def _sources(path: Path, archive) -> tuple[dict[str, Source], str]:
    """The splits, and what the training targets are called."""
    keys = set(archive.files)
    train = next((pair for pair in _TRAIN_KEYS if keys.issuperset(pair)), None)
    if train is None:
        raise DataError(
            f"{path} holds the arrays {', '.join(sorted(keys)) or '(none)'}, but x_train and "
            f"y_train, or x and y, or inputs and targets, are needed. Rename them."
        )
    pairs = {"train": train, "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}
    sources = {}
    for split, (inputs, targets) in pairs.items():
        present = keys & {inputs, targets}
        if len(present) == 1:
            raise DataError(
                f"{path} holds {present.pop()}, but not both {inputs} and {targets}. Add the "
                f"other, or leave both out."
            )
        if present:
            given = _inputs(f"{path}[{inputs}]", archive[inputs])
            wanted = _targets(f"{path}[{targets}]", archive[targets])
            sources[split] = stored(f"{path}[{inputs}, {targets}]", given, wanted)
    _check_alike(path, sources)
    return sources, train[1]


def _check_alike(path: Path, sources: dict[str, Source]) -> None:
    """Raise DataError where splits are of different kinds; the sizes of images are looked at later."""
    forms = set[tuple[object, ...]]()
    for source in sources.values():
        row = source.fetch(torch.arange(1))
        forms.add((row.shape[1:] if row.dim() == 2 else 4, source.targets.dtype))
    if len(forms) > 1:
        raise DataError(
            f"{path} has splits of different kinds: images and rows, rows of different lengths, or whole and "
            "real targets. Store all of them alike."
        )


def _inputs(name: str, array: np.ndarray) -> torch.Tensor:
    """Images, or rows in float64."""
    if array.dtype.kind not in "buif" or array.dtype.itemsize > 8:
        raise DataError(f"{name} has dtype {array.dtype}. Store uint8 or float32.")
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{name} has shape {array.shape}, but images are (N, H, W), (N, C, H, W) or "
            f"(N, H, W, C), and rows (N, D). Reshape it."
        )
    if array.ndim == 2 and array.size:
        return torch.from_numpy(array.astype(np.float64))
    if array.ndim == 3:
        array = array[:, None]
    elif array.shape[3] in (1, 3) and array.shape[1] not in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.size == 0:
        raise DataError(
            f"{name} has shape {array.shape}, which holds nothing. Store images or rows."
        )
    dtype = np.uint8 if array.dtype == np.uint8 else np.float32
    with np.errstate(over="ignore"):  # an infinity is reported, with its cause, when it is loaded
        return torch.from_numpy(np.ascontiguousarray(array, dtype=dtype))


def _targets(name: str, array: np.ndarray) -> torch.Tensor:
    """Labels, or real numbers in float64."""
    if array.ndim == 2 and array.shape[1] == 1:  # a column of labels, as Keras stores CIFAR-10
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "uif" or array.dtype.itemsize > 8:
        raise DataError(
            f"{name} has shape {array.shape} and dtype {array.dtype}, but targets are whole or real "
            f"numbers of shape (N,). For one-hot labels store labels.argmax(axis=1)."
        )
    return torch.from_numpy(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))
