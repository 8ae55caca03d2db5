"""Damaged files of every kind that is read: none ends in a traceback, hangs, writes elsewhere or runs code.

``python -m benchmarks.fuzz_files`` tries more.
"""

import zipfile

import numpy as np
import pytest

import nongreedy as ng

from .fuzz.files import CANARY, SUBJECTS, Bomb, case, good, within

SEEDS = range(3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_damaged_file_is_read_or_refused(subject, seed, tmp_path):
    with within(tmp_path):
        found = case(subject, seed, tmp_path)
    assert not found.fault, found


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if not name.endswith("code")])
def test_a_file_as_it_was_written_is_read(subject, tmp_path):
    (inside := tmp_path / "inside").mkdir()
    good(subject, inside)
    SUBJECTS[subject][1](inside)


def test_the_bomb_is_one(tmp_path):
    """Else files with code would be harmless by themselves."""
    (inside := tmp_path / "inside").mkdir()
    np.save(inside / "bomb.npy", np.array([Bomb(inside)], object))
    np.load(inside / "bomb.npy", allow_pickle=True)[0].close()
    assert (tmp_path / CANARY).exists()


@pytest.mark.parametrize("name", ["zeros.npz", "images.zip"])
def test_an_archive_that_would_fill_the_memory_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr("nongreedy.data._source._HARMLESS", 10**6)
    member = {"zeros.npz": "x_train.npy", "images.zip": "a/0.png"}[name]
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(2 * 10**6))
    with pytest.raises(ng.DataError, match="would unpack to"):
        ng.data.load(tmp_path / name)


def test_a_gzip_that_would_fill_the_memory_is_read_no_further(tmp_path, monkeypatch):
    import gzip

    monkeypatch.setattr("nongreedy.data._source._HARMLESS", 10**6)
    for what in ("images-idx3", "labels-idx1"):
        (tmp_path / f"train-{what}-ubyte.gz").write_bytes(gzip.compress(bytes(3 * 10**6)))
    with pytest.raises(ng.DataError, match="would unpack to"):
        ng.data.load(tmp_path)


@pytest.mark.parametrize("path", ["../out/a.png", "/a/b.png", "a\\b.png", "C:/a/b.png"])
def test_an_archive_with_paths_that_lead_out_is_refused(path, tmp_path):
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr(path, b"")
    with pytest.raises(ng.DataError, match="unsafe path"):
        ng.data.load(tmp_path / "images.zip")
