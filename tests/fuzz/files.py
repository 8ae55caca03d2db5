"""Files from strangers, damaged in all ways: what every reader of the library makes of them.

A subject writes a good file into a folder and reads it back. A case damages one file by a seed and reads it
again: the file is read all the same, or refused by one of our errors. Anything else is a fault: another
error, more than some seconds, a file that was written elsewhere, code of the file's that was run.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import signal
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typer.testing import CliRunner

import nongreedy as ng
from nongreedy import bandits, preference
from nongreedy.cli import app
from nongreedy.errors import NongreedyError
from nongreedy.nas._checkpoint import Checkpoint
from nongreedy.studies._savepoints import Savepoints

from ..data_files import encoded, labels, pixels, write_idx

LIMIT = 20  # seconds for one file
CANARY = "canary"  # the file that code of a stranger's would write


class Refused(Exception):
    """By one line, as it should be."""


# ---- Subjects: how a good file is written, and how it is read ------------------------------------------


def _schedule(folder: Path) -> None:
    ng.Schedule.of(learning_rate=[0.1, 0.05, 0.01], momentum=0.9).save(folder / "schedule.json")


def _read_schedule(folder: Path) -> None:
    schedule = ng.Schedule.load(folder / "schedule.json")
    sgd = torch.optim.SGD(torch.nn.Linear(2, 1).parameters(), lr=0.1, momentum=0.9)
    try:
        schedule.attach(sgd, total_steps=7)
    except ValueError as error:  # it names what this optimizer has not
        raise Refused(str(error)) from error


def _task() -> ng.Task:
    inputs = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    both = inputs, (inputs[:, 0] > 0).long()
    entropy = torch.nn.functional.cross_entropy
    return ng.Task(lambda: torch.nn.Linear(3, 2), entropy, both, both, batch_size=8)


def _study(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = ng.SGD(ng.Windows(2), momentum=ng.Windows(1))
        study = folder / "study.db"
        ng.tune(
            _task(), optimizer, steps=4, outer="paper", outer_steps=2, study=study, progress=False
        )


def _read_study(folder: Path) -> None:
    _command("report", folder / "study.db", "--name", "nongreedy", "--out", folder)


def _begun(folder: Path) -> None:
    small = ["--train-examples", "40", "--batch-size", "10", "--epochs", "1", "--model", "mlp"]
    short = ["--knots", "2", "--outer", "paper", "--outer-steps", "1", "--no-compare"]
    _command("tune", *small, *short, "--out", folder)
    for file in folder.iterdir():
        if file.is_file() and file.name != "study.db":
            file.unlink()


def _resume_study(folder: Path) -> None:
    _command("resume", folder / "study.db", "--out", folder)


def _checkpoint(folder: Path) -> None:
    kept = Checkpoint(folder / "nas.pt", {"seed": 0, "steps": 5})
    kept.keep("table", {"weights": torch.randn(4, 4), "names": ["a", "b"], "at": 3})


def _read_checkpoint(folder: Path) -> None:
    try:
        Checkpoint(folder / "nas.pt", {"seed": 0, "steps": 5})
    except ValueError as error:
        raise Refused(str(error)) from error


def _savepoint(folder: Path) -> None:
    Savepoints(folder, 0.0).keep(
        "run", "loop", 3, {"state": torch.randn(2, 9), "losses": [1.0, 2.0]}
    )


def _read_savepoint(folder: Path) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        Savepoints(folder, 0.0).newest("run", "loop")
    if said:
        raise Refused(str(said[0].message))


_POLICY, _BALL = bandits.LinearUCB(count=20), bandits.QuadraticBandit.planted(4, [1.0], seed=0).ball


def _player(folder: Path) -> None:
    player = bandits.Player(_POLICY, _BALL)
    for _ in range(6):
        player.tell(player.ask(), 0.5)
    player.save(folder)


def _read_player(folder: Path) -> None:
    bandits.Player.load(folder, _POLICY, _BALL)


def _dialogue_of(folder: Path) -> preference.Dialogue:
    table = [[0.1, 9.0], [0.2, 3.0], [0.4, 1.0]]
    sides = [preference.smaller("loss"), preference.smaller("ms", log=True)]
    return preference.Dialogue(preference.Items.of(table, sides), file=folder / "dialogue.json")


def _dialogue(folder: Path) -> None:
    dialogue = _dialogue_of(folder)
    dialogue.ask()
    dialogue.tell(0)
    dialogue.ask()


def _table(folder: Path) -> None:
    rows = "".join(f"n{k},{0.1 * k},{9.0 - k},{3 + k % 2}\n" for k in range(1, 6))
    (folder / "table.csv").write_text("net,error,ms,MB\n" + rows)


def _read_table(folder: Path) -> None:
    ways = ["--smaller", "error,ms,MB", "--name", "net", "--answers", "a"]
    _command("prefer", folder / "table.csv", *ways, "--out", folder)


def _data_table(folder: Path) -> None:
    rows = [
        f'{k},{k * 37 % 101 / 10},"{("north, up", "south")[k % 2]}",{k * k}.5' for k in range(24)
    ]
    (folder / "data.csv").write_text("\n".join(["number,size,place,price", *rows]) + "\n")


def _read_data_table(folder: Path) -> None:
    ng.data.load(folder / "data.csv", target="price")


def _config(folder: Path) -> None:
    (folder / "search.toml").write_text(
        'train-examples = 40\nbatch-size = 10\nmodel = "mlp"\nepochs = 1.5\nsample = 2\nknots = 3\n'
    )


def _read_config(folder: Path) -> None:
    _command("plan", "--config", folder / "search.toml", "--epochs", 1)


def _rows(folder: Path) -> None:
    inputs = np.arange(48.0).reshape(12, 4) ** 0.5
    np.savez(folder / "data.npz", x=inputs, y=inputs.sum(1))


def _idx(folder: Path, suffix: str = "") -> None:
    write_idx(folder, "train", pixels(12, 5, 5), labels(12), suffix)


def _npz(folder: Path) -> None:
    np.savez(folder / "data.npz", x_train=pixels(12, 5, 5), y_train=labels(12))


def _pickled_npz(folder: Path) -> None:
    np.savez(folder / "data.npz", x_train=np.array([Bomb(folder)] * 12, object), y_train=labels(12))


def _images(folder: Path) -> None:
    for number, kind in enumerate(("PNG", "JPEG", "BMP", "TIFF", "PNG", "JPEG", "BMP", "TIFF")):
        place = folder / "images" / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.{kind.lower()}").write_bytes(encoded(pixels(8, 8), kind))


def _zip(folder: Path) -> None:
    _images(folder)
    shutil.make_archive(str(folder / "images"), "zip", folder / "images")
    shutil.rmtree(folder / "images")


def _loading(name: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        ng.data.load(folder / name)

    return read


class Bomb:
    """Runs code where it is unpickled."""

    def __init__(self, folder: Path):
        self.file = str(folder.parent / CANARY)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.file, "w")


def _bomb(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        buffer = io.BytesIO()
        torch.save({"format": Bomb(folder)}, buffer)
        raw = (
            buffer.getvalue() if random.Random(name).random() < 0.5 else pickle.dumps(Bomb(folder))
        )
        (folder / name).write_bytes(raw)

    return write


def _command(*arguments: Any) -> None:
    """A command line, which ends in one of its own codes, without a traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code:
        if result.exit_code not in (1, 2) or "error" not in result.output.lower():
            raise AssertionError(f"exit code {result.exit_code}: {result.output[-300:]}")
        raise Refused(result.output.strip().splitlines()[-1])


SUBJECTS: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "schedule": (_schedule, _read_schedule),
    "study": (_study, _read_study),
    "study resumed": (_begun, _resume_study),
    "checkpoint": (_checkpoint, _read_checkpoint),
    "checkpoint with code": (_bomb("nas.pt"), _read_checkpoint),
    "savepoint": (_savepoint, _read_savepoint),
    "player": (_player, _read_player),
    "dialogue": (_dialogue, _dialogue_of),
    "table": (_table, _read_table),
    "IDX": (_idx, _loading(".")),
    "IDX, gzipped": (lambda folder: _idx(folder, ".gz"), _loading(".")),
    "npz": (_npz, _loading("data.npz")),
    "npz of rows": (_rows, _loading("data.npz")),
    "table of data": (_data_table, _read_data_table),
    "configuration": (_config, _read_config),
    "npz with code": (_pickled_npz, _loading("data.npz")),
    "images": (_images, _loading("images")),
    "zip": (_zip, _loading("images.zip")),
}


# ---- Damage --------------------------------------------------------------------------------------------

_ODD = [
    "",
    "null",
    "[]",
    "{}",
    "1e999",
    "-1",
    "NaN",
    "Infinity",
    "9" * 400,
    '"\\u0000"',
    "true",
    "[" * 5000,
]
_ODD += [
    "../../outside",
    "/dev/zero",
    '"<script>"',
    "1e-320",
    "-0",
    "0x10",
    "\ufeff",
    "'",
    '"',
    "\x00",
]
_VALUES = [
    None,
    True,
    -1,
    0,
    2**70,
    1e308,
    "",
    "nan",
    [],
    {},
    [[]],
    [None],
    "../../outside",
    "/dev/zero",
    "\x00",
]
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def damaged(content: bytes, draw: random.Random) -> bytes:
    """The bytes of a file, damaged in one to three ways."""
    for _ in range(draw.choice([1, 1, 2, 3])):
        content = draw.choice(_WAYS)(content, draw)
    return content


def _flipped(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice([1, 3, 30])):
        if changed:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _without(content: bytes, draw: random.Random) -> bytes:
    first, last = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:first] + content[last:]


def _twice(content: bytes, draw: random.Random) -> bytes:
    first, last = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:last] + content[first:]


def _grown(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content) + 1)
    return content[:place] + draw.choice(_ODD).encode() + content[place:]


def _other_number(content: bytes, draw: random.Random) -> bytes:
    found = list(_NUMBER.finditer(content))
    if not found:
        return content
    one = draw.choice(found)
    return content[: one.start()] + draw.choice(_ODD).encode() + content[one.end() :]


def _other_value(content: bytes, draw: random.Random) -> bytes:
    """Of JSON: another value somewhere in the tree."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return _flipped(content, draw)
    places: list[tuple[Any, Any]] = []
    todo: list[Any] = [tree] if isinstance(tree, (dict, list)) else []
    while todo:
        node = todo.pop()
        rows = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(rows):
            places.append((node, key))
            todo += [value] if isinstance(value, (dict, list)) else []
    if not places:
        return json.dumps(draw.choice(_VALUES)).encode()
    node, key = draw.choice(places)
    node[key] = draw.choice(_VALUES)
    return json.dumps(tree).encode()


def _other_record(content: bytes, draw: random.Random) -> bytes:
    """Of a database: another value in one of its JSON texts, under a checksum that fits."""
    if not content.startswith(b"SQLite format 3"):
        return _other_value(content, draw)
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    with contextlib.closing(connection), connection:
        try:
            _change(connection, draw)
        except sqlite3.DatabaseError:  # of one that was damaged before
            return content
        connection.commit()
        return connection.serialize()


def _change(connection: sqlite3.Connection, draw: random.Random) -> None:
    table = draw.choice(
        ["study_system_attributes", "study_system_attributes", "trial_user_attributes"]
    )
    rows = list(connection.execute(f"select rowid, value_json from {table}"))
    number, written = draw.choice(rows or [(0, "null")])
    record = json.loads(written)
    if isinstance(record, dict) and not record.get("parts", 1):
        text = _other_value(record["text"].encode(), draw).decode()
        record |= {"text": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
        written = json.dumps(record)
    else:
        written = _other_value(written.encode(), draw).decode()
    connection.execute(f"update {table} set value_json = ? where rowid = ?", (written, number))


_WAYS = [
    _flipped,
    _cut,
    _without,
    _twice,
    _grown,
    _other_number,
    _other_value,
    _other_record,
    _other_record,
]


# ---- A case ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What came of one damaged file: ``read``, ``refused``, or what is wrong."""

    outcome: str
    said: str = ""

    @property
    def fault(self) -> bool:
        return self.outcome not in ("read", "refused")


_good: dict[str, dict[Path, bytes]] = {}  # what subjects write, once each


def good(subject: str, inside: Path) -> None:
    """Write the files of a subject, as they should be."""
    write = SUBJECTS[subject][0]
    if subject not in _good or subject.endswith("code"):  # which knows where it is to write
        torch.manual_seed(0)
        write(inside)
        files = (file for file in inside.rglob("*") if file.is_file() and file.suffix != ".lock")
        _good[subject] = {file.relative_to(inside): file.read_bytes() for file in sorted(files)}
        return
    for name, content in _good[subject].items():
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_bytes(content)


def case(subject: str, seed: int, place: Path) -> Found:
    """Damage one file of a subject by a seed, and read it.

    Args:
        place: An empty folder, in which one is made for the file: what is beside it is "outside".
    """
    read = SUBJECTS[subject][1]
    draw, inside = random.Random(f"{subject} {seed}"), place / "inside"
    inside.mkdir()
    good(subject, inside)
    file = inside / draw.choice(list(_good[subject]))
    if not (
        subject.endswith("code") and draw.random() < 0.3
    ):  # else as it is: with code that works
        file.write_bytes(damaged(file.read_bytes(), draw))
    found = _judged(lambda: read(inside))
    outside = sorted(path.name for path in place.iterdir() if path != inside)
    if CANARY in outside:
        return Found("ran code", file.name)
    return Found("wrote outside", str(outside)) if outside else found


def _judged(read: Callable[[], Any]) -> Found:
    try:
        with _limited(), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except (NongreedyError, Refused) as error:
        return Found("refused", " ".join(str(error).split()))
    except TimeoutError as error:
        return Found("hangs", str(error))
    except Exception as error:  # whatever it is, it is no error of ours
        return Found("traceback", f"{type(error).__name__}: {error}")
    return Found("read")


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def within(folder: Path) -> Iterator[None]:
    """What is written without a path is written here."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
