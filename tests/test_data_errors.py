"""Data that cannot be read: every error quotes what is wrong and where."""

import gzip
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from nongreedy import data
from nongreedy.errors import DataError

from .data_files import (
    encoded,
    idx_bytes,
    labels,
    pixels,
    tree,
    write_files,
    write_idx,
)

# --- Broken input ----------------------------------------------------------------------------


def idx_with(root, images=None, targets=None):
    write_idx(root, "train", pixels(10, 3, 3), labels(10))
    if images is not None:
        (root / "train-images-idx3-ubyte").write_bytes(images)
    if targets is not None:
        (root / "train-labels-idx1-ubyte").write_bytes(targets)
    return root


def lone_idx(root):
    idx_with(root)
    (root / "train-labels-idx1-ubyte").unlink()
    return root


def two_idx(root):
    write_idx(root, "letters-train", pixels(10, 3, 3), labels(10))
    return write_idx(root, "digits-train", pixels(10, 3, 3), labels(10))


def broken_gz(root, cut):
    write_idx(root, "train", pixels(10, 3, 3), labels(10), ".gz")
    file = root / "train-images-idx3-ubyte.gz"
    file.write_bytes(cut(file.read_bytes()))
    return root


def idx_sizes_differ(root):
    write_idx(root, "train", pixels(10, 3, 3), labels(10))
    return write_idx(root, "t10k", pixels(10, 4, 4), labels(10))


IMAGE = idx_bytes(pixels(10, 3, 3))
BAD_IDX = {
    "truncated values": (lambda r: idx_with(r, IMAGE[:-1]), "truncated.*10x3x3.*90 bytes.*89"),
    "too long": (lambda r: idx_with(r, IMAGE + b"x"), "too long"),
    "truncated header": (lambda r: idx_with(r, IMAGE[:9]), "truncated.*header of 16"),
    "empty": (lambda r: idx_with(r, b""), "not an IDX file.*nothing"),
    "wrong magic": (lambda r: idx_with(r, b"\x01" + IMAGE[1:]), "starts with 01 00 08 03"),
    "wrong dtype code": (lambda r: idx_with(r, b"\0\0\x07" + IMAGE[3:]), "starts with 00 00 07"),
    "gz without suffix": (lambda r: idx_with(r, gzip.compress(IMAGE)), "name it .gz"),
    "labels as images": (lambda r: idx_with(r, idx_bytes(labels(10))), "exchanged"),
    "floats": (
        lambda r: idx_with(r, idx_bytes(np.ones((10, 3, 3), ">f4"), 0x0D)),
        "unsigned bytes.*float32",
    ),
    "count": (lambda r: idx_with(r, targets=idx_bytes(labels(9))), "10 images but 9 labels"),
    "no labels": (lone_idx, "no labels beside it: expected train-labels-idx1-ubyte"),
    "several sets": (two_idx, "several train sets"),
    "cut gz": (lambda r: broken_gz(r, lambda raw: raw[:-12]), "Cannot read.*idx3-ubyte.gz"),
    "not gz": (lambda r: broken_gz(r, lambda raw: b"no" + raw), "Cannot read.*idx3-ubyte.gz"),
    "damaged gz": (lambda r: broken_gz(r, lambda raw: raw[:20] + b"\xff" * 30), "Cannot read"),
    "no examples": (
        lambda r: idx_with(r, idx_bytes(pixels(0, 3, 3)), idx_bytes(labels(0))),
        "no examples",
    ),
    "no pixels": (lambda r: idx_with(r, idx_bytes(pixels(10, 0, 3))), r"shape \(1, 0, 3\)"),
    "train and test differ": (idx_sizes_differ, r"\(1, 4, 4\).*\(1, 3, 3\)"),
}


def cifar_with(root, content):
    (root / "data_batch_1.bin").write_bytes(content)
    return root


def pickled_cifar(root):
    (root / "data_batch_1").write_bytes(b"\x80")
    return root


BAD_CIFAR = {
    "truncated": (lambda r: cifar_with(r, b"\0" * 3072), "3072 bytes.*3073"),
    "empty": (lambda r: cifar_with(r, b""), "0 bytes"),
    "label": (lambda r: cifar_with(r, b"\x0b" + b"\0" * 3072), "labels from 11 to 11.*10 classes"),
    "pickles": (pickled_cifar, "binary version: pickles"),
}


def npz_with(root, **arrays):
    np.savez(root / "a.npz", **arrays)
    return root / "a.npz"


def raw_npz(root, content):
    (root / "a.npz").write_bytes(content)
    return root / "a.npz"


def cut_npz(root):
    path = npz_with(root, x=pixels(50, 9, 9), y=labels(50))
    return raw_npz(root, path.read_bytes()[:-200])


def single_array(root):
    with (root / "a.npz").open("wb") as file:
        np.save(file, pixels(9, 3, 3))
    return root / "a.npz"


X, Y = pixels(10, 3, 3), labels(10)
NAN = np.where(np.arange(90).reshape(10, 3, 3) == 7, np.nan, 0.5)
BAD_NPZ = {
    "garbage": (lambda r: raw_npz(r, b"garbage"), "Cannot read .*a.npz"),
    "empty": (lambda r: raw_npz(r, b""), "Cannot read .*a.npz"),
    "truncated": (cut_npz, "Cannot read .*a.npz"),
    "single array": (single_array, "single array"),
    "objects": (lambda r: npz_with(r, x=X.astype(object), y=Y), "Cannot read.*pickle"),
    "keys": (lambda r: npz_with(r, images=X, y=Y), "holds the arrays images, y"),
    "half a pair": (lambda r: npz_with(r, x=X, y=Y, x_test=X), "not both x_test and y_test"),
    "lengths": (lambda r: npz_with(r, x=X, y=Y[:9]), "10 images but 9 labels"),
    "one number each": (lambda r: npz_with(r, x=X[:, 0, 0], y=Y), r"\[x\] has shape \(10,\)"),
    "rows and images": (
        lambda r: npz_with(r, x=X.reshape(10, 9), y=Y, x_test=X, y_test=Y),
        "splits of different kinds",
    ),
    "whole and real targets": (
        lambda r: npz_with(r, x=X, y=Y, x_test=X, y_test=Y / 2),
        "splits of different kinds",
    ),
    "NaN in a row": (
        lambda r: npz_with(r, x=NAN.reshape(10, 9), y=Y),
        "column '7' has NaN, infinite or huge .* in 1 train rows",
    ),
    "NaN targets": (
        lambda r: npz_with(r, x=X, y=np.where(Y == 1, np.nan, 0.5)),
        "targets that are NaN or infinite in 3 of 10",
    ),
    "equal targets": (
        lambda r: npz_with(r, x=X, y=np.full(10, 0.5)),
        "y has the same value, 0.5, in all 7 training examples",
    ),
    "strings": (lambda r: npz_with(r, x=X.astype(str), y=Y), "dtype <U3"),
    "one-hot": (lambda r: npz_with(r, x=X, y=np.eye(10)), "argmax"),
    "complex targets": (lambda r: npz_with(r, x=X, y=Y * 1j), "complex128, but targets are whole"),
    "negative labels": (lambda r: npz_with(r, x=X, y=Y.astype(int) - 1), "from -1 to 1"),
    "huge labels": (lambda r: npz_with(r, x=X, y=Y.astype(int) + 10**9), "label 1000000002"),
    "no examples": (lambda r: npz_with(r, x=X[:0], y=Y[:0]), "holds nothing"),
    "NaN": (lambda r: npz_with(r, x=NAN, y=Y), "NaN, infinite or huge"),
    "beyond float32": (lambda r: npz_with(r, x=X * 1e300, y=Y), "NaN, infinite or huge"),
    "one example": (lambda r: npz_with(r, x=X[:1], y=Y[:1]), "test=0.2 takes 1 of 1"),
    "two examples": (lambda r: npz_with(r, x=X[:2], y=Y[:2] * 0), "validation=0.15 takes 1 of 1"),
}

PNG = encoded(pixels(4, 4))


def folder_with(root, **changes):
    files = tree(pixels(8, 4, 4)) | {name.replace("__", "/"): c for name, c in changes.items()}
    return write_files(root / "a", {(n if "." in n else n + ".png"): c for n, c in files.items()})


def zip_with(root, *names, content=PNG):
    return write_files(root / "a.zip", tree(pixels(8, 4, 4)) | dict.fromkeys(names, content))


def raw_zip(root, content):
    (root / "a.zip").write_bytes(content)
    return root / "a.zip"


def damaged_zip(root):
    """A member whose bytes no longer match their checksum."""
    path = zip_with(root)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    return raw_zip(root, bytes(content))


def sixteen_bits():
    """A PNG of colours with 16 bits, which Pillow does not write itself."""

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    rows = b"".join(b"\0" + struct.pack(">12H", *range(300, 312)) for _ in range(4))
    head = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def pages():
    """A TIFF file of two."""
    stream, page = io.BytesIO(), Image.new("L", (4, 4))
    page.save(stream, "TIFF", save_all=True, append_images=[page])
    return stream.getvalue()


BAD_FOLDERS = {
    "garbage zip": (lambda r: raw_zip(r, b"garbage"), "a.zip as a zip archive"),
    "cut zip": (lambda r: raw_zip(r, zip_with(r).read_bytes()[:-30]), "a.zip as a zip archive"),
    "damaged zip": (damaged_zip, r"Cannot read the image ant/00.png in .*a.zip"),
    "parent": (lambda r: zip_with(r, "../evil.png"), r"unsafe path '../evil.png'"),
    "inner parent": (lambda r: zip_with(r, "ant/../../x.txt"), "unsafe path"),
    "absolute": (lambda r: zip_with(r, "/etc/evil.png"), "unsafe path '/etc/evil.png'"),
    "drive": (lambda r: zip_with(r, "C:/evil.png"), "unsafe path 'C:/evil.png'"),
    "backslash": (lambda r: zip_with(r, "ant\\..\\..\\evil.png"), "unsafe path"),
    "no images": (lambda r: write_files(r / "a.zip", {"a/b.txt": b"x"}), "holds no images"),
    "bad bytes": (lambda r: folder_with(r, ant__bad=b"no image"), "the image ant/bad.png in"),
    "other format": (
        lambda r: folder_with(r, ant__gif=encoded(pixels(4, 4), "GIF")),
        "the image ant/gif.png in",
    ),
    "cut image": (
        lambda r: folder_with(r, ant__cut=encoded(pixels(90, 90))[:3000]),
        "the image ant/cut.png in",
    ),
    "size": (
        lambda r: folder_with(r, ant__x=encoded(pixels(7, 5))),
        "ant/00.png is 4x4 grey and ant/x.png is 5x7 grey",
    ),
    "colour": (
        lambda r: folder_with(r, ant__x=encoded(pixels(4, 4, 3))),
        "4x4 grey and ant/x.png is 4x4 RGB",
    ),
    "sixteen bits": (
        lambda r: folder_with(r, ant__x=encoded(pixels(4, 4).astype(np.uint16) * 256)),
        "ant/x.png .* mode 'I;16'",
    ),
    "sixteen bits of colour": (
        lambda r: folder_with(r, ant__x=sixteen_bits()),
        "ant/x.png .* mode 'RGB', of 16 bits per channel.*float32",
    ),
    "sixteen bits, TIFF": (
        lambda r: folder_with(r, **{"ant/x.tif": encoded(pixels(4, 4).astype(np.uint16), "TIFF")}),
        "ant/x.tif .* mode 'I;16'",
    ),
    "real numbers, TIFF": (
        lambda r: folder_with(r, **{"ant/x.tiff": encoded(np.ones((4, 4), np.float32), "TIFF")}),
        "ant/x.tiff .* mode 'F'",
    ),
    "pages, TIFF": (lambda r: folder_with(r, **{"ant/x.tif": pages()}), "ant/x.tif .* 2 pages"),
    "no class": (lambda r: folder_with(r, stray=PNG), "stray.png in .* lies outside the layout"),
    "beside splits": (
        lambda r: write_files(r / "a", tree(pixels(8, 4, 4), "train/") | {"cow/1.png": PNG}),
        "cow/1.png in .* outside the layout train",
    ),
    "test only": (lambda r: write_files(r / "a", tree(pixels(8, 4, 4), "test/")), "none under tr"),
    "class in test only": (
        lambda r: write_files(r / "a", tree(pixels(8, 4, 4), "train/") | {"test/bees/1.png": PNG}),
        "class 'bees' in its test images.*Did you mean 'bee'",
    ),
}


def text_file(root):
    (root / "a.txt").write_text("1,2")
    return root / "a.txt"


def folder_of_tables(root):
    (root / "a.csv").write_text("x,y\n1,2\n")
    return root


BAD_PATHS = {
    "misspelt": (lambda r: "digit", "Unknown data set 'digit'.*Did you mean 'digits'"),
    "unknown": (lambda r: "qqq", "Unknown data set 'qqq'.*Valid names: digits"),
    "missing file": (lambda r: "no/such.zip", "No such file or directory: 'no/such.zip'"),
    "missing path": (lambda r: r / "none", "No such file or directory: .*none"),
    "empty directory": (lambda r: r, "in no known format.*NumPy archive"),
    "unknown format": (text_file, "a.txt is in no known format"),
    "folder of tables": (folder_of_tables, "a folder of tables: give one of them, such as .*a.csv"),
}


@pytest.mark.parametrize(
    ("make", "quoted"),
    [
        pytest.param(*row, id=f"{table}: {name}")
        for table, rows in {
            "idx": BAD_IDX,
            "cifar": BAD_CIFAR,
            "npz": BAD_NPZ,
            "folder": BAD_FOLDERS,
            "path": BAD_PATHS,
        }.items()
        for name, row in rows.items()
    ],
)
def test_broken_input_is_named(make, quoted, tmp_path):
    with pytest.raises(DataError, match=f"(?s){quoted}"):
        data.load(make(tmp_path))


@pytest.mark.parametrize(
    ("settings", "quoted"),
    [
        ({"validation": 0}, "validation=0"),
        ({"validation": 1.0}, "validation=1.0"),
        ({"validation": float("nan")}, "validation=nan"),
        ({"test": -0.1}, "test=-0.1"),
        ({"test": 2000}, "test=2000.*test_examples"),
        ({"train_examples": 1223}, "train_examples=1223 exceeds the 1222"),
        ({"validation_examples": 217}, "validation_examples=217 exceeds the 216"),
        ({"test_examples": 360}, "test_examples=360 exceeds the 359"),
        ({"train_examples": 0}, "train_examples=0"),
        ({"train_examples": 2.5}, "train_examples=2.5"),
        ({"validation": 0.9999}, "validation=0.9999 takes 1438 of 1438"),
        ({"target": "price"}, "`target` names columns of a table .* digits is none"),
        ({"drop": ["id"]}, "`drop` names columns of a table .* digits is none"),
    ],
)
def test_bad_settings(settings, quoted):
    with pytest.raises(DataError, match=quoted):
        data.load("digits", **settings)
