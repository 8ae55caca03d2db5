"""IDX, the format of MNIST and its successors (Fashion-MNIST, KMNIST, EMNIST).

A file is big-endian: two zero bytes, one byte for the dtype, one for the number of dimensions d,
d sizes of four bytes each, then the values, the last index running fastest.

Source: http://yann.lecun.com/exdb/mnist/ ("The IDX file format").
"""

import gzip
import math
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ._source import Parts, Source, check_unpacked, counted_classes, reading, stored, unpacked_limit

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IMAGES = re.compile(r"(?P<prefix>.+)-images[-.]idx3-ubyte(\.gz)?")


def is_idx_folder(path: Path) -> bool:
    return path.is_dir() and any(_IMAGES.fullmatch(file.name) for file in path.iterdir())


def read_idx_folder(path: Path) -> Parts:
    """Read a directory of image and label files; a lone pair of either kind is returned as train.

    Raises:
        DataError: If a label file is missing, a file is broken, or several data sets share the directory.
    """
    # Of each prefix, the unpacked file wins over its ``.gz``.
    matches = (_IMAGES.fullmatch(file.name) for file in sorted(path.iterdir(), reverse=True))
    sources: dict[str, Source] = {}
    for prefix, images in {m["prefix"]: path / m.string for m in matches if m}.items():
        split = "test" if prefix.endswith(("t10k", "test")) else "train"
        if split in sources:
            raise DataError(
                f"{path} holds several {split} sets: {sources[split].name} and {images}. Keep one "
                f"data set per directory."
            )
        sources[split] = _read_pair(images)
    return Parts.of(sources, counted_classes(str(path), sources.values()))


def read_idx(path: Path) -> Tensor:
    """Return the array in one IDX file, which may be gzipped.

    Raises:
        DataError: If the file is no IDX file, is truncated, or holds more than its header says.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "labels-idx1-ubyte")
        ...     size = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        ...     read_idx(file)
        tensor([7, 2, 1], dtype=torch.uint8)
    """
    with reading(path, "Download it again."):
        size = path.stat().st_size
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                content = stream.read(unpacked_limit(size) + 1)
            check_unpacked(path, size, len(content))
        else:
            content = path.read_bytes()
    dtype, shape, start = _header(path, content)
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        kind = "truncated" if len(content) - start < expected else "too long"
        raise DataError(
            f"{path} is {kind}: its header announces {'x'.join(map(str, shape))} values "
            f"({expected} bytes), but {len(content) - start} bytes follow. Download it again."
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return torch.from_numpy(values.astype(dtype.newbyteorder("=")))  # astype copies: writable


def _read_pair(images_path: Path) -> Source:
    labels_path = _labels_of(images_path)
    images, labels = read_idx(images_path), read_idx(labels_path)
    for file, array, dimensions in ((images_path, images, 3), (labels_path, labels, 1)):
        if array.ndim != dimensions or array.dtype != torch.uint8:
            raise DataError(
                f"{file} should hold unsigned bytes in {dimensions} dimensions, but holds "
                f"{array.dtype} of shape {tuple(array.shape)}. Were images and labels exchanged?"
            )
    return stored(str(images_path), images[:, None], labels)


def _labels_of(images_path: Path) -> Path:
    name = re.sub(r"-images([-.])idx3", r"-labels\1idx1", images_path.name.removesuffix(".gz"))
    for candidate in (name, name + ".gz"):
        if (images_path.parent / candidate).is_file():
            return images_path.parent / candidate
    raise DataError(
        f"{images_path} has no labels beside it: expected {name} or {name}.gz. Put the label file "
        f"into the same directory."
    )


def _header(path: Path, content: bytes) -> tuple[np.dtype, tuple[int, ...], int]:
    """Return dtype, shape, and the position of the first value."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES:
        hint = " It is gzipped: name it .gz." if content[:2] == b"\x1f\x8b" else ""
        raise DataError(
            f"{path} is not an IDX file: it starts with {content[:4].hex(' ') or 'nothing'}, not "
            f"with 00 00, a dtype code and a number of dimensions.{hint or ' Download it again.'}"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(
            f"{path} is truncated: {content[3]} dimensions need a header of {start} bytes, but "
            f"the file has {len(content)}. Download it again."
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", content[3], offset=4))
    return np.dtype(_DTYPES[content[2]]), shape, start
