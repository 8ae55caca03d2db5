"""Damaged files, full disks, locked databases, other holders: said plainly, and nothing is lost."""

import errno
import io
import os
import pickle
import shutil
import sqlite3
import tempfile
import threading
import warnings

import optuna
import pytest
import sqlalchemy
import torch

import nongreedy as ng
from nongreedy.studies import _holder as holder
from nongreedy.studies import _savepoints as savepoints
from nongreedy.studies import _storage as storage
from nongreedy.studies._answers import decoded, encoded

from .study_runs import KillAt, Killed, search, told


@pytest.fixture(scope="module")
def expected():
    """What the undisturbed search comes to."""
    return told(search())


class KillInSweep(KillAt):
    """Ends the search in the middle of its first sweep, wherever the rule has it."""

    def __init__(self):
        super().__init__(5)
        self.sweeps = False

    def on_run_start(self, label, steps):
        del steps
        self.sweeps = label == "hypergradient"

    def on_inner_step(self, step, steps):
        if self.sweeps:
            super().on_inner_step(step, steps)


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder of a study that was killed in the middle of a sweep, with two savepoints of it."""
    folder = tmp_path_factory.mktemp("ended")
    study = ng.Study(folder / "s.db", savepoint_seconds=0.0)
    with pytest.raises(Killed):
        search(study, callbacks=[KillInSweep()])
    return folder


@pytest.fixture
def killed(tmp_path, ended):
    """A copy of it."""
    shutil.copytree(ended, tmp_path, dirs_exist_ok=True)
    return ng.Study(tmp_path / "s.db")


def files_of(study):
    return sorted(study.address.folder.glob("*/savepoint-*"))


class Evil:
    """What a pickle could do."""

    made = os.path.join(tempfile.gettempdir(), f"nongreedy-was-here-{os.getpid()}")

    def __reduce__(self):
        return os.mkdir, (self.made,)


def flip(content):
    return content[:-30] + bytes([content[-30] ^ 1]) + content[-29:]


DAMAGE = {
    "truncated": (lambda content: content[: len(content) // 2], "bytes"),
    "flipped byte": (flip, "checksum does not fit"),
    "empty": (lambda content: b"", "not a savepoint"),
    "of another program": (lambda content: b"PK\x03\x04" + content, "not a savepoint"),
    "of a later version": (
        lambda content: content.replace(b"savepoint 1 ", b"savepoint 9 ", 1),
        "version 9, and this release reads 1",
    ),
    "code": (
        lambda content: savepoints.sealed(pickle.dumps(Evil(), protocol=2)),
        "something else than tensors, numbers and text",
    ),
    "without its parts": (lambda content: savepoints.sealed(_saved({"step": 1})), "lacks some of"),
}


def _saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("which", [[0], [1], [0, 1]], ids=["first", "second", "both"])
def test_damaged_savepoints_are_named_and_done_without(killed, expected, damage, message, which):
    files = files_of(killed)
    assert len(files) == 2
    for index in which:
        files[index].write_bytes(damage(files[index].read_bytes()))
    with pytest.warns(UserWarning, match=r"Savepoint .* cannot be used") as caught:
        assert told(search(killed)) == expected
    said = "\n".join(str(warning.message) for warning in caught)
    assert message in said
    assert all(str(files[index]) in said for index in which)
    assert not os.path.exists(Evil.made)


def test_missing_savepoints_are_no_matter(killed, expected):
    for file in files_of(killed):
        file.unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert told(search(killed)) == expected


def test_the_newer_savepoint_counts_and_the_older_stands_in(tmp_path):
    kept = savepoints.Savepoints(tmp_path, 0.0)
    for step in range(3):
        kept.keep("request", "loop", step, {"losses": [float(step)]})
    fresh = savepoints.Savepoints(tmp_path, 0.0)
    assert fresh.newest("request", "loop") == {"step": 2, "losses": [2.0]}
    assert fresh.newest("request", "other loop") is None
    assert fresh.newest("other request", "loop") is None
    (tmp_path / "savepoint-0").write_bytes(b"")
    with pytest.warns(UserWarning, match="savepoint-0"):
        assert fresh.newest("request", "loop") == {"step": 1, "losses": [1.0]}


def test_a_disk_full_of_savepoints_costs_no_search(tmp_path, expected, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"No savepoint could be written.*No space left on device"):
        assert told(search(ng.Study(tmp_path / "s.db", savepoint_seconds=0.0))) == expected


def test_a_full_database_ends_the_search_and_keeps_what_it_has(tmp_path, expected, monkeypatch):
    study, real, left = ng.Study(tmp_path / "s.db"), storage.Storage._set, iter(range(8))

    def limited(self, key, value):
        if next(left, None) is None:
            # SQLite's own limit, at the size that it has: its error is that of a full disk.
            limit = "PRAGMA max_page_count = 1"
            sqlalchemy.event.listen(
                self._optuna.engine, "begin", lambda connection: connection.exec_driver_sql(limit)
            )
            value = {**value, "text": "x" * 10**6}
        real(self, key, value)

    monkeypatch.setattr(storage.Storage, "_set", limited)
    with pytest.raises(ng.StudyError, match=r"the disk is full. Free some of it, then go on"):
        search(study)
    monkeypatch.undo()
    assert told(search(study)) == expected


def test_a_locked_database_is_waited_for_and_then_named(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "_PATIENCE", 0.2)
    search(tmp_path / "s.db")
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ng.StudyError, match="another program has locked the database"):
        search(tmp_path / "s.db")
    other.execute("ROLLBACK")
    other.close()
    search(tmp_path / "s.db")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "file" / "s.db", "Cannot create the directory of .*Name a file"),
        (lambda p: p / "file", "no SQLite database, or is damaged. Name another file"),
        (lambda p: p, "is a directory. Name a file in it"),
        (lambda p: "/proc/s.db", "may not be written. Name a file in a directory"),
        (lambda p: "sqlite:///:memory:", "needs a file or a server"),
        (lambda p: "", "needs a file or a server"),
        (lambda p: "nosuch://host/x", "Cannot open the study in 'nosuch://host/x'"),
        (lambda p: "postgresql://me:secret@nowhere.invalid/x", r"'postgresql://me:\*\*\*@nowhere"),
    ],
    ids=[
        "below a file",
        "no database",
        "a directory",
        "read-only",
        "in memory",
        "empty",
        "scheme",
        "server",
    ],
)
def test_places_where_no_study_can_be(tmp_path, make, message):
    (tmp_path / "file").write_text("No database at all, but a text. " * 100)
    before = (tmp_path / "file").read_text()
    with pytest.raises(ng.StudyError, match=message) as error:
        search(make(tmp_path))
    assert "secret" not in str(error.value)
    assert (tmp_path / "file").read_text() == before


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ng.StudyError, match=r"Cannot work in .*Study\(folder=...\)"):
        search(ng.Study(tmp_path / "s.db", folder=tmp_path / "file" / "below"))


def test_studies_of_others_and_of_later_versions_are_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/s.db"
    optuna.create_study(study_name="theirs", storage=url)
    with pytest.raises(ng.StudyError, match=r"No study 'ours' in .*Studies there: theirs"):
        ng.Study(tmp_path / "s.db", "ours").read("settings")
    with pytest.raises(ng.StudyError, match=r"'theirs' in .* was not made by nongreedy"):
        ng.Study(tmp_path / "s.db", "theirs").read("settings")
    search(tmp_path / "s.db")
    kept = ng.Study(tmp_path / "s.db").open()
    kept.write("version", 99)
    kept.close()
    with pytest.raises(
        ng.StudyError, match=f"has version 99, and this release reads version {storage.VERSION}"
    ):
        search(tmp_path / "s.db")


def test_a_damaged_answer_is_computed_again(tmp_path, expected):
    search(tmp_path / "s.db")
    connection = sqlite3.connect(tmp_path / "s.db")
    rows = connection.execute(
        "SELECT study_system_attribute_id, value_json FROM study_system_attributes "
        "WHERE key LIKE 'nongreedy:answer:%'"
    ).fetchall()
    for row, text in rows[::3]:
        damaged = text.replace("0", "1", 40)
        connection.execute(
            "UPDATE study_system_attributes SET value_json = ? WHERE study_system_attribute_id = ?",
            (damaged, row),
        )
    connection.commit()
    connection.close()
    with pytest.warns(UserWarning, match=r"cannot be used .* computed again"):
        assert told(search(tmp_path / "s.db")) == expected


@pytest.mark.parametrize(
    "content",
    [None, {}, [], {"kind": "code"}, {"kind": "run", "loss": "1", "accuracy": None, "losses": []},
     {"kind": "sweep", "value": 1.0, "accuracy": None, "gradients": {"by name": {"a": {"float64": "?"}}}},
     {"kind": "diverged", "quantity": "loss"}],
)  # fmt: skip
def test_answers_are_checked(content):
    with pytest.raises(ValueError, match="not an answer"):
        decoded(content)


def test_a_divergence_is_told_again_with_its_words():
    error = ng.DivergedError("adjoint", 3, 10, "Advice.")
    again = decoded(encoded(error))
    assert (str(again), again.quantity, again.step) == (str(error), "adjoint", 3)


def test_the_second_holder_is_told_who_the_first_is(tmp_path):
    study = ng.Study(tmp_path / "s.db")
    inside, leave = threading.Event(), threading.Event()

    class Wait(ng.Callback):
        def on_outer_step(self, row):
            del row
            inside.set()
            leave.wait(20)

    first = threading.Thread(target=lambda: search(study, callbacks=[Wait()]))
    first.start()
    assert inside.wait(20)
    with pytest.raises(ng.StudyError, match=f"'nongreedy' is held by process {os.getpid()} on "):
        search(study)
    leave.set()
    waiting = ng.Study(tmp_path / "s.db", wait=30.0)
    assert told(search(waiting))
    first.join()


def test_a_lease_holds_between_machines_until_its_holder_is_silent(monkeypatch):
    record = {}

    def write(value):
        record.clear()
        record.update(value)

    now = [1000.0]
    monkeypatch.setattr(holder.time, "time", lambda: now[0])

    def leased():
        return holder.leased(lambda: dict(record), write, "s", 0.0)

    with leased() as renew:
        assert record["process"] == os.getpid()
        now[0] += 31
        renew()
        assert record["alive"] == now[0]
    assert record == {}
    write({"host": "elsewhere", "process": 7, "program": "train", "since": "now", "alive": now[0]})
    with pytest.raises(ng.StudyError, match="held by process 7 on elsewhere"), leased():
        pass
    now[0] += 301  # a dead machine renews nothing
    with leased():
        assert record["process"] == os.getpid()
    write({**holder.identity(), "process": 2**22 + 1, "alive": now[0]})  # died on this machine
    with leased():
        assert record["process"] == os.getpid()


@pytest.mark.parametrize("name", ["100% done", "a%7Cb", "what?", "no #1", "a|b c"])
def test_a_folder_may_have_any_name(tmp_path, name):
    path = tmp_path / name / "s.db"
    ng.Study(path).open(create=True).close()
    assert [found.name for found in path.parent.iterdir() if found.is_file()] == ["s.db"]
    assert ng.Study.names(path) == ng.Study.names(ng.Study(path).address.url) == ["nongreedy"]
    assert [found.name for found in tmp_path.iterdir()] == [name]
