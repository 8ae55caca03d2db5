"""Writers of every data format that is read, and how a loaded split is judged."""

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

SHARED = Path(__file__).parents[2] / "shared" / "data"
RNG = np.random.default_rng(0)


def shared(name):
    if not (SHARED / name).exists():
        pytest.skip(f"needs real data, absent here: {SHARED / name}")
    return SHARED / name


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def labels(count, classes=3):
    return np.arange(count, dtype=np.uint8) % classes


# --- Writers ---------------------------------------------------------------------------------


def idx_bytes(array, code=0x08):
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def write_idx(folder, prefix, images, targets, suffix=""):
    folder.mkdir(exist_ok=True)
    pack = gzip.compress if suffix else bytes
    (folder / f"{prefix}-images-idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
    (folder / f"{prefix}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(targets)))
    return folder


def write_cifar(file, images, targets):
    file.parent.mkdir(exist_ok=True)
    records = np.concatenate([targets[:, None], images.reshape(len(images), -1)], axis=1)
    file.write_bytes(records.tobytes())


def encoded(image, kind="PNG"):
    stream = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(stream, kind)
    return stream.getvalue()


def write_files(root, files):
    """Write ``{name: bytes}`` as a directory, or as a zip archive if the name says so."""
    if root.suffix == ".zip":
        with zipfile.ZipFile(root, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return root
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def tree(images, prefix="", classes=("ant", "bee"), suffix="png"):
    """Return files ``<prefix><class>/<n>.<suffix>``, classes in turn."""
    return {
        f"{prefix}{classes[n % len(classes)]}/{n:02}.{suffix}": encoded(image)
        for n, image in enumerate(images)
    }


# --- Judges ----------------------------------------------------------------------------------


def standardised(raw, train_raw):
    """The mean and deviation of train, in float64, by NumPy."""
    axes = (0, 2, 3)
    mean = train_raw.mean(axes, keepdims=True, dtype=np.float64)
    deviation = train_raw.std(axes, keepdims=True, dtype=np.float64)
    return torch.from_numpy((raw - mean) / deviation).float()


def assert_same_examples(split, images, targets, train_images):
    """Compare a shuffled split with what was written, ignoring order."""
    expected = standardised(images, train_images)
    assert len(split[0]) == len(expected)
    for image, target in zip(*split, strict=True):
        gaps = (expected - image).abs().amax((1, 2, 3))
        assert gaps.min() < 1e-4
        assert targets[gaps.argmin()] == target
