"""Readers: tiny files written by hand, one good per format and a table of broken ones."""

import gzip
import io
import itertools
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import nongreedy
from nongreedy import data
from nongreedy._errors import DataError

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


# --- Formats, each with train and test -------------------------------------------------------

TRAIN, TEST = 12, 6


def in_order(images):
    return images, labels(len(images))


def by_class(images):
    """Images and labels in the order of their paths."""
    order = np.argsort(labels(len(images)), kind="stable")
    return images[order], labels(len(images))[order]


def idx(root, suffix):
    train, test = pixels(TRAIN, 5, 4), pixels(TEST, 5, 4)
    write_idx(root / "mnist", "train", train, labels(TRAIN), suffix)
    write_idx(root / "mnist", "t10k", test, labels(TEST), suffix)
    return root / "mnist", in_order(train[:, None]), in_order(test[:, None]), "012"


def cifar(root, inside):
    train, test = pixels(TRAIN, 3, 32, 32), pixels(TEST, 3, 32, 32)
    at = root / "c" / inside
    at.mkdir(parents=True)
    write_cifar(at / "data_batch_1.bin", train[:7], labels(TRAIN)[:7])
    write_cifar(at / "data_batch_2.bin", train[7:], labels(TRAIN)[7:])
    write_cifar(at / "test_batch.bin", test, labels(TEST))
    return (
        root / "c",
        in_order(train),
        in_order(test),
        "airplane automobile bird cat deer dog frog horse ship truck",
    )


def npz(root, layout):
    move = {
        "NHW": lambda a: a[:, 0],
        "NCHW": lambda a: a,
        "NHWC": lambda a: a.transpose(0, 2, 3, 1),
    }
    channels = 1 if layout == "NHW" else 3
    train, test = pixels(TRAIN, channels, 5, 4), pixels(TEST, channels, 5, 4)
    train_labels = labels(TRAIN)[:, None] if layout == "NHWC" else labels(TRAIN)
    np.savez(
        root / "a.npz",
        x_train=move[layout](train),
        y_train=train_labels,
        x_test=move[layout](test),
        y_test=labels(TEST).astype(np.int32),
    )
    return root / "a.npz", in_order(train), in_order(test), "012"


def folder(root, name, wrapper="", grey=False):
    channels = () if grey else (3,)
    train, test = pixels(TRAIN, 5, 4, *channels), pixels(TEST, 5, 4, *channels)
    classes = ("ant", "bee", "cow")
    files = tree(train, wrapper + "train/", classes) | tree(test, wrapper + "test/", classes)
    files |= {wrapper + "readme.txt": b"hello", "__MACOSX/train/ant/._0.png": b"meta"}
    path = write_files(root / name, files)
    if grey:
        return path, by_class(train[:, None]), by_class(test[:, None]), "ant bee cow"
    train, test = train.transpose(0, 3, 1, 2), test.transpose(0, 3, 1, 2)
    return path, by_class(train), by_class(test), "ant bee cow"


GOOD = {
    "idx": lambda root: idx(root, ""),
    "idx gz": lambda root: idx(root, ".gz"),
    "cifar": lambda root: cifar(root, ""),
    "cifar unpacked": lambda root: cifar(root, "cifar-10-batches-bin"),
    "npz NHW": lambda root: npz(root, "NHW"),
    "npz NCHW": lambda root: npz(root, "NCHW"),
    "npz NHWC": lambda root: npz(root, "NHWC"),
    "folder": lambda root: folder(root, "images"),
    "folder grey": lambda root: folder(root, "images", grey=True),
    "zip": lambda root: folder(root, "images.zip"),
    "zip wrapped": lambda root: folder(root, "images.zip", wrapper="my-data/v1/"),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_round_trip(make, tmp_path):
    path, train, test, classes = make(tmp_path)
    splits = data.load(path, validation=0.25)
    assert splits.classes == (tuple(classes) if classes == "012" else tuple(classes.split()))
    assert splits.name in ("mnist", "c", "a", "images")
    for inputs, targets in (splits.train, splits.validation, splits.test):
        assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
        assert inputs.is_contiguous()
    assert (len(splits.train[0]), len(splits.validation[0])) == (9, 3)
    # Which examples are in train is the seed's choice; find them to know their statistics.
    order = torch.randperm(TRAIN, generator=torch.Generator().manual_seed(0)).numpy()
    (images, targets), held, kept = train, order[:3], order[3:]
    assert_same_examples(splits.train, images[kept], targets[kept], images[kept])
    assert_same_examples(splits.validation, images[held], targets[held], images[kept])
    assert_same_examples(splits.test, *test, images[kept])


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_caps_shorten_the_same_splits(make, tmp_path):
    path, *_ = make(tmp_path)
    small = data.load(path, train_examples=3, validation_examples=1, test_examples=2)
    large = data.load(path, train_examples=5)
    assert [len(each[1]) for each in (small.train, small.validation, small.test)] == [3, 1, 2]
    assert torch.equal(small.train[1], large.train[1][:3])
    assert torch.equal(small.validation[1], large.validation[1][:1])


@pytest.mark.parametrize("only", ["train", "t10k"])
def test_a_lone_idx_pair_is_split(only, tmp_path):
    write_idx(tmp_path, only, pixels(20, 3, 3), labels(20))
    splits = data.load(tmp_path, validation=0.25, test=0.2)
    assert [len(each[0]) for each in (splits.train, splits.validation, splits.test)] == [12, 4, 4]


@pytest.mark.parametrize("keys", [("x", "y"), ("inputs", "targets")])
def test_npz_without_splits(keys, tmp_path):
    images = np.linspace(-1, 1, 20 * 9).reshape(20, 3, 3)
    np.savez(tmp_path / "a.npz", **{keys[0]: images, keys[1]: labels(20)})
    splits = data.load(tmp_path / "a.npz")
    assert [len(each[0]) for each in (splits.train, splits.validation, splits.test)] == [14, 2, 4]


@pytest.mark.parametrize("form", ["npz", "val", "validation"])
def test_own_validation_split_is_kept(form, tmp_path):
    if form == "npz":
        path = tmp_path / "a.npz"
        arrays = {"x_train": pixels(10, 4, 4), "y_train": labels(10, 2)}
        np.savez(path, x_val=pixels(4, 4, 4), y_val=labels(4, 2), **arrays)
    else:
        files = tree(pixels(10, 4, 4), "train/") | tree(pixels(4, 4, 4), form + "/")
        path = write_files(tmp_path / "a", files)
    splits = data.load(path, validation=0.5, test=0.2)
    assert [len(each[0]) for each in (splits.train, splits.validation, splits.test)] == [8, 4, 2]


@pytest.mark.parametrize("root", ["plain", "plain.zip"])
def test_plain_classes(root, tmp_path):
    write_files(tmp_path / root, tree(pixels(20, 3, 3), suffix="PNG"))
    splits = data.load(tmp_path / root)
    assert splits.classes == ("ant", "bee")
    assert len(splits.test[0]) == 4


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_image_modes(mode, tmp_path):
    colours = Image.fromarray(pixels(6, 6, 3))
    files = {f"a/{n}.png": encoded(colours.convert(mode).rotate(90 * n)) for n in range(4)}
    files["b/blank.png"] = encoded(Image.new(mode, (6, 6)))
    splits = data.load(write_files(tmp_path / "m", files))
    assert splits.train[0].shape[1] == (1 if mode in ("1", "L", "LA") else 3)


@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", "jpg"), ("JPEG", "jpeg"), ("BMP", "bmp")])
def test_image_formats(kind, suffix, tmp_path):
    flat = [np.full((8, 8, 3), 20 * n, np.uint8) for n in range(10)]  # survives JPEG
    files = {f"a/{n}.{suffix}": encoded(image, kind) for n, image in enumerate(flat)}
    splits = data.load(write_files(tmp_path / "m", files))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0)).numpy()
    train = np.stack(flat).transpose(0, 3, 1, 2)[order[3:]]
    torch.testing.assert_close(splits.train[0], standardised(train, train), atol=0.02, rtol=0)


# --- Selection and standardisation -----------------------------------------------------------


def test_digits():
    splits = data.load("digits")
    sizes = [len(each[0]) for each in (splits.train, splits.validation, splits.test)]
    assert sizes == [1222, 216, 359]
    assert splits.train[0].shape[1:] == (1, 8, 8)
    assert splits.classes == tuple("0123456789")
    assert abs(splits.train[0].mean()) < 1e-5
    assert splits.train[0].std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert abs(splits.test[0].mean()) > 1e-5  # by the statistics of train, not its own


def distinct(tmp_path, count=40):
    """An archive whose examples are told apart by their label."""
    path = tmp_path / "distinct.npz"
    np.savez(path, x=pixels(count, 4, 4), y=np.arange(count))
    return path


def test_splits_are_disjoint_and_complete(tmp_path):
    splits = data.load(distinct(tmp_path), validation=0.3, test=0.25)
    parts = [set(each[1].tolist()) for each in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in parts] == [21, 9, 10]
    assert set.union(*parts) == set(range(40))


def test_the_seed_alone_decides(tmp_path):
    path = distinct(tmp_path)
    torch.manual_seed(1)
    first = data.load(path, seed=3)
    torch.manual_seed(2)
    again, other = data.load(path, seed=3), data.load(path, seed=4)
    for split in ("train", "validation", "test"):
        for a, b in zip(getattr(first, split), getattr(again, split), strict=True):
            assert torch.equal(a, b)
        assert not torch.equal(getattr(first, split)[1], getattr(other, split)[1])


def test_statistics_are_those_of_the_chosen_training_examples(tmp_path):
    path = distinct(tmp_path)
    small, whole = data.load(path, train_examples=5), data.load(path)
    assert small.train[0].std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert whole.train[0][:5].std(correction=0).item() != pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1])
def test_a_constant_channel_is_only_centred(value, tmp_path):
    images = np.random.default_rng(1).normal(size=(2000, 2, 4, 4)).astype(np.float32)
    images[:, 1] = value
    np.savez(tmp_path / "a.npz", x=images, y=labels(2000))
    splits = data.load(tmp_path / "a.npz")
    assert splits.train[0][:, 1].abs().max() == 0
    assert splits.test[0][:, 1].abs().max() == 0


def test_only_chosen_images_are_decoded(tmp_path, monkeypatch):
    write_files(
        tmp_path / "a.zip", tree(pixels(100, 4, 4), "train/") | tree(pixels(50, 4, 4), "test/")
    )
    opened = []
    read = zipfile.ZipFile.read
    monkeypatch.setattr(
        zipfile.ZipFile, "read", lambda self, name: opened.append(name) or read(self, name)
    )
    data.load(tmp_path / "a.zip", train_examples=5, validation_examples=4, test_examples=3)
    assert len(set(opened)) <= 5 + 4 + 3 + 2  # and the image that sets the size, per source


def test_a_local_directory_does_not_shadow_a_name(tmp_path, monkeypatch):
    write_idx(tmp_path / "digits", "train", pixels(20, 3, 3), labels(20))
    monkeypatch.chdir(tmp_path)
    assert data.load("digits").train[0].shape[1:] == (1, 8, 8)
    assert data.load("./digits").train[0].shape[1:] == (1, 3, 3)
    assert data.load(Path("digits")).train[0].shape[1:] == (1, 3, 3)


def test_describe_names_every_format():
    rows = data.describe()
    assert {"digits"} == set(data.NAMES) <= {name for name, _ in rows}
    text = " ".join(itertools.chain(*rows))
    for word in ("idx3-ubyte", "data_batch_*.bin", ".npz", "<class>"):
        assert word in text


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
    "flat": (lambda r: npz_with(r, x=X.reshape(10, 9), y=Y), r"\[x\] has shape \(10, 9\)"),
    "strings": (lambda r: npz_with(r, x=X.astype(str), y=Y), "dtype <U3"),
    "one-hot": (lambda r: npz_with(r, x=X, y=np.eye(10)), "argmax"),
    "float labels": (lambda r: npz_with(r, x=X, y=Y / 2), "float64, but labels are whole"),
    "negative labels": (lambda r: npz_with(r, x=X, y=Y.astype(int) - 1), "from -1 to 1"),
    "huge labels": (lambda r: npz_with(r, x=X, y=Y.astype(int) + 10**9), "label 1000000002"),
    "no examples": (lambda r: npz_with(r, x=X[:0], y=Y[:0]), "no pixels"),
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
    (root / "a.csv").write_text("1,2")
    return root / "a.csv"


BAD_PATHS = {
    "misspelt": (lambda r: "digit", "Unknown data set 'digit'.*Did you mean 'digits'"),
    "unknown": (lambda r: "qqq", "Unknown data set 'qqq'.*Valid names: digits"),
    "missing file": (lambda r: "no/such.zip", "No such file or directory: 'no/such.zip'"),
    "missing path": (lambda r: r / "none", "No such file or directory: .*none"),
    "empty directory": (lambda r: r, "in no known format.*NumPy archive"),
    "unknown format": (text_file, "a.csv is in no known format"),
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
    ],
)
def test_bad_settings(settings, quoted):
    with pytest.raises(DataError, match=quoted):
        data.load("digits", **settings)


# --- Torch data sets -------------------------------------------------------------------------


class Items(Dataset):
    """A data set of whatever the function returns."""

    def __init__(self, item, count=20):
        self.item, self.count = item, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.item(index)


class Stream(IterableDataset):
    def __len__(self):
        return 3

    def __iter__(self):
        return iter([(0.0, 0)] * 3)


@pytest.mark.parametrize(
    ("item", "dtypes"),
    [
        (lambda i: (torch.full((2, 3), float(i)), i), (torch.float32, torch.int64)),
        (lambda i: (np.full((2, 3), i, np.uint8), np.int64(i)), (torch.uint8, torch.int64)),
        (lambda i: [np.full((2, 3), float(i)), float(i)], (torch.float64, torch.float32)),
        (lambda i: (torch.full((2, 3), i), torch.tensor(i)), (torch.int64, torch.int64)),
    ],
)
def test_in_memory_keeps_order_and_dtypes(item, dtypes):
    inputs, targets = data.in_memory(Items(item))
    assert (inputs.dtype, targets.dtype) == dtypes
    assert inputs.shape == (20, 2, 3)
    assert inputs[:, 1, 2].tolist() == targets.tolist() == list(range(20))


def test_in_memory_on_tensors_copies():
    original = torch.randn(5, 2), torch.arange(5)
    inputs, targets = data.in_memory(TensorDataset(*original))
    assert torch.equal(inputs, original[0])
    assert torch.equal(targets, original[1])
    assert inputs.data_ptr() != original[0].data_ptr()


def test_in_memory_accepts_nan_that_stays_nan():
    inputs, _ = data.in_memory(Items(lambda i: (torch.tensor([float("nan")]), 0)))
    assert inputs.isnan().all()


@pytest.mark.parametrize(
    ("dataset", "quoted"),
    [
        (Items(lambda i: (torch.rand(3), i)), "different items on a second read.*`augment=`"),
        (Items(lambda i: (torch.zeros(3), torch.rand(()))), "different items on a second read"),
        (Items(lambda i: (torch.zeros(i + 1), i)), r"item 1 has \(2,\)"),
        (Items(lambda i: (torch.zeros(2), i if i < 9 else 0.5)), "item 9 has .*float32"),
        (Items(lambda i: torch.zeros(2)), "Item 0 .* is a Tensor, not a pair"),
        (Items(lambda i: (Image.new("L", (2, 2)), i)), "Image, not a tensor.*ToTensor"),
        (Items(lambda i: (np.array(["a"]), i)), "Item 0 .*numpy"),
        (Items(lambda i: (0.0, 0), count=0), "Items is empty"),
        (Stream(), "Stream has no length or no items"),
        (iter([]), "no length or no items"),
    ],
)
def test_in_memory_refuses(dataset, quoted):
    with pytest.raises(DataError, match=quoted):
        data.in_memory(dataset)


# --- Real data -------------------------------------------------------------------------------


def test_real_mnist():
    splits = data.load(shared("mnist"), train_examples=300)
    assert splits.train[0].shape == (300, 1, 28, 28)
    assert len(splits.test[0]) == 2000
    # t10k's first labels, as published: 7 2 1 0 4 1 4 9 5 9.
    from nongreedy.data._idx import read_idx

    assert read_idx(SHARED / "mnist" / "t10k-labels-idx1-ubyte.gz")[:10].tolist() == [
        *(7, 2, 1, 0, 4),
        *(1, 4, 9, 5, 9),
    ]


def test_real_cifar():
    path = shared("cifar10.zip")
    splits = data.load(path, train_examples=200, validation_examples=50, test_examples=50)
    assert splits.train[0].shape == (200, 3, 32, 32)
    assert [len(splits.validation[0]), len(splits.test[0])] == [50, 50]
    assert splits.classes[0] == "airplane"
    assert len(splits.classes) == len(splits.train[1].unique()) == 10


def test_public_face():
    assert nongreedy.data is data
    for name in data.__all__:
        assert getattr(data, name).__doc__
