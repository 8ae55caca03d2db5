"""Readers: tiny files written by hand, one good per format and a table of broken ones."""

import itertools
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import nongreedy
from nongreedy import data

from .data_files import (
    SHARED,
    assert_same_examples,
    encoded,
    labels,
    pixels,
    shared,
    standardised,
    tree,
    write_cifar,
    write_files,
    write_idx,
)

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


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("JPEG", "jpg"), ("JPEG", "jpeg"), ("BMP", "bmp"), ("WEBP", "webp"), ("TIFF", "tif")],
)
def test_image_formats(kind, suffix, tmp_path):
    flat = [np.full((8, 8, 3), 20 * n, np.uint8) for n in range(10)]  # survives JPEG
    files = {f"a/{n}.{suffix}": encoded(image, kind) for n, image in enumerate(flat)}
    splits = data.load(write_files(tmp_path / "m", files))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0)).numpy()
    train = np.stack(flat).transpose(0, 3, 1, 2)[order[3:]]
    torch.testing.assert_close(splits.train[0], standardised(train, train), atol=0.02, rtol=0)


def deep_png(channels):
    """A PNG of 16 bits per channel, as Pillow does not write them."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + bytes(4 * channels * 2) for _ in range(4))

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 4, 4, 16, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_more_bits_are_not_cut_down(channels, tmp_path):
    files = {f"{name}/{n}.png": deep_png(channels) for name in "ab" for n in range(3)}
    with pytest.raises(nongreedy.DataError, match=r"a/0\.png.*does not fit 8-bit.*Convert it"):
        data.load(write_files(tmp_path / "m", files))


def test_images_of_other_kinds_are_not_left_out_in_silence(tmp_path):
    files = tree(pixels(20, 3, 3), suffix="png")
    files["cat/0.GIF"] = encoded(pixels(3, 3, 3), "GIF")
    with pytest.warns(UserWarning, match=r"left out: 1 of them, such as cat/0\.GIF\. Convert"):
        splits = data.load(write_files(tmp_path / "m", files))
    assert splits.classes == ("ant", "bee")
    files["ant/x.png"] = files.pop("cat/0.GIF")
    with pytest.raises(
        nongreedy.DataError, match=r"ant/x\.png .*it is none of PNG, JPEG, BMP, WEBP"
    ):
        data.load(write_files(tmp_path / "n", files))


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
