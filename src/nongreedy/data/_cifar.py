"""CIFAR-10's binary batches: records of one label byte and 3,072 pixel bytes (3, 32, 32).

Source: https://www.cs.toronto.edu/~kriz/cifar.html ("Binary version").
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..errors import DataError
from ._source import Parts, Source

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


def is_cifar_folder(path: Path) -> bool:
    return path.is_dir() and any(_batches(path).values())


def read_cifar_folder(path: Path) -> Parts:
    """Read ``data_batch_*.bin`` as train and ``test_batch.bin`` as test; either alone is train.

    Raises:
        DataError: If a file is empty, or its size is no multiple of 3,073 bytes.
    """
    sources = {split: _source(files) for split, files in _batches(path).items() if files}
    return Parts.of(sources, _CLASSES)


def _batches(path: Path) -> dict[str, list[Path]]:
    """The files of each split, in ``path`` or in what the archive unpacks to."""
    unpacked = path / "cifar-10-batches-bin"
    folder = unpacked if unpacked.is_dir() else path
    test = [file for file in [folder / "test_batch.bin"] if file.is_file()]
    return {"train": sorted(folder.glob("data_batch_*.bin")), "test": test}


def _source(files: Sequence[Path]) -> Source:
    # Mapped, not read: a small selection touches only its own pages.
    batches = [_records(file) for file in files]
    targets = torch.from_numpy(np.concatenate([batch[:, 0] for batch in batches])).long()
    starts = np.cumsum([0] + [len(batch) for batch in batches])

    def fetch(indices: torch.Tensor) -> torch.Tensor:
        wanted = indices.numpy()
        images = np.empty((len(wanted), *_SHAPE), dtype=np.uint8)
        for batch, start in zip(batches, starts, strict=False):
            here = (wanted >= start) & (wanted < start + len(batch))
            images[here] = batch[wanted[here] - start, 1:].reshape(-1, *_SHAPE)
        return torch.from_numpy(images)

    return Source(", ".join(map(str, files)), targets, fetch)


def _records(file: Path) -> np.ndarray:
    size = file.stat().st_size
    if size and size % _RECORD == 0:
        return np.memmap(file, np.uint8, mode="r").reshape(-1, _RECORD)
    raise DataError(
        f"{file} has {size} bytes, which is not a positive multiple of the record size {_RECORD} "
        f"(1 label and 3072 pixels). It is truncated, or not CIFAR-10's binary version: download "
        f"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz again."
    )
