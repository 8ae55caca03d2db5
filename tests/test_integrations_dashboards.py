"""A search in TensorBoard and Weights & Biases, read back by their own readers; how searches end."""

import doctest
import importlib
import json
import math
import struct
import sys
import time
import warnings

import pytest
import torch

import nongreedy as ng
from nongreedy.integrations._row import numbers, texts

from .extras import needs
from .helpers import tiny_task


def search(callbacks, optimizer=None, **settings):
    optimizer = optimizer or ng.SGD(ng.Windows(2), ng.Windows(1))
    settings = {"steps": 6, "outer_steps": 2, **settings}
    return ng.tune(tiny_task(), optimizer, callbacks=callbacks, **settings)


def online(callbacks):
    learned = ng.SGD(ng.Constant(initial=0.1), ng.Constant())
    return ng.train_online(tiny_task(), learned, steps=2, callbacks=callbacks)


def package(name):
    needs(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own imports
        return importlib.import_module(f"nongreedy.integrations.{name}")


def single(numbers_of_row):
    """As TensorBoard keeps them."""
    return {n: torch.tensor(v, dtype=torch.float32).item() for n, v in numbers_of_row.items()}


# ---- rows ---------------------------------------------------------------------------------------


def test_a_row_as_numbers_and_texts():
    values = {
        "learning_rate": [0.1, 0.2],
        "momentum": [0.9],
        "weights": [float(i) for i in range(51)],
    }
    signs = {"learning_rate": "+-", "momentum": "0", "weights": "+" * 51}
    row = ng.OuterStep(3, math.inf, None, values, signs, 1.5, 7.0, accepted=False)
    assert numbers(row) == {
        "validation_loss": math.inf, "cost": 7.0, "seconds": 1.5,
        "learning_rate/0": 0.1, "learning_rate/1": 0.2, "momentum/0": 0.9,
        "weights/min": 0.0, "weights/mean": 25.0, "weights/max": 50.0,
    }  # fmt: skip
    assert texts(row) == {"note": "no improvement", "signs": "learning_rate: +-, momentum: 0"}


# ---- TensorBoard --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("find", [search, online])
def test_tensorboard_reads_back_what_the_search_returned(find, tmp_path):
    callback = package("tensorboard").TensorBoardCallback(tmp_path)
    result = find([callback])
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path)).Reload()
    rows = [single(numbers(row)) for row in result.history]
    assert (
        len(rows) == 2
        and {"validation_accuracy", "learning_rate/0", "momentum/0"} <= rows[0].keys()
    )
    assert set(events.Tags()["scalars"]) == {name for row in rows for name in row}
    for name in events.Tags()["scalars"]:
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(i, row[name]) for i, row in enumerate(rows) if name in row], name
    told = {
        tag: [event.tensor_proto.string_val[0].decode() for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }
    assert told["note/text_summary"] == [texts(row)["note"] for row in result.history]
    assert told["signs/text_summary"] == [texts(row)["signs"] for row in result.history]
    # An online run has the engine that was asked for.
    assert find is online or told["engine/text_summary"][0].startswith("Reverse(")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_closes_its_file_whatever_ends_the_search(tmp_path):
    class Broken(ng.Callback):
        def on_outer_step(self, row):
            raise OSError("disk full")

    callback, watch, writers = package("tensorboard").TensorBoardCallback(tmp_path), Broken(), []
    watch.on_run_start = lambda label, steps: writers.append(callback._open)
    with pytest.raises(OSError, match="disk full"):
        search([callback, watch])
    assert writers and all(
        writer.all_writers is None for writer in writers
    )  # as SummaryWriter closes
    search([callback])  # and is as good as new
    assert len(list(tmp_path.iterdir())) == 2


# ---- Weights & Biases ---------------------------------------------------------------------------


def messages_in(content):
    """The messages of a run's file: pieces with a checksum, a size and a kind, in blocks of 32 KiB."""
    place, message = len(b":W&B") + 3, b""  # after the file's own header
    while place + 7 <= len(content):
        left = 2**15 - place % 2**15
        if left < 7:  # no room for another piece's header
            place += left
            continue
        size, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        message += content[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4) and place <= len(content):  # the whole of a message, or its last piece
            yield message
            message = b""


def history_of(directory):
    """The rows of history in an offline run, parsed by wandb's own format: name -> value of each."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,), records, until = directory.glob("*.wandb"), [], time.monotonic() + 30
    # `finish` returns before the process that writes the file has written its end.
    while not any(record.WhichOneof("record_type") == "exit" for record in records):
        assert time.monotonic() < until, f"{file} has no end: {records}"
        time.sleep(0.05)
        records = [Record.FromString(message) for message in messages_in(file.read_bytes())]
    return [
        {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in row}
        for row in (record.history.item for record in records)
        if row
    ]


@pytest.fixture
def quiet_wandb(monkeypatch, tmp_path):
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.mark.filterwarnings("ignore")
def test_wandb_has_what_the_search_returned(tmp_path, quiet_wandb):
    module = package("wandb")
    callback = module.WandbCallback(project="schedules", mode="offline", dir=str(tmp_path))
    result = search([callback])
    assert callback.run is None and module._wandb.run is None  # finished
    (directory,) = (tmp_path / "wandb").glob("offline-run-*")
    rows = history_of(directory)
    assert len(rows) == len(result.history) == 2
    for found, row in zip(rows, result.history, strict=True):
        wanted = {"outer_step": row.index, **numbers(row), **texts(row)}
        assert {name: found[name] for name in wanted} == wanted


@pytest.mark.filterwarnings("ignore")
def test_wandb_leaves_a_run_open_that_was_active_before(tmp_path, quiet_wandb):
    module = package("wandb")
    active = module._wandb.init(project="mine", mode="offline", dir=str(tmp_path))
    active.log({"mine": 1.0}, step=100)  # ahead of the outer steps
    result = search([module.WandbCallback(project="ignored", mode="offline")])
    assert module._wandb.run is active
    assert active.config["engine"].startswith("Reverse(")
    active.finish()
    (directory,) = (tmp_path / "wandb").glob("offline-run-*")
    losses = [row["validation_loss"] for row in history_of(directory) if "validation_loss" in row]
    assert losses == [row.validation_loss for row in result.history]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_examples_in_docstrings_run(name):
    assert doctest.testmod(package(name)).failed == 0


# ---- packages that are missing ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hidden", "words"),
    [
        ("lightning", ["lightning", "pytorch_lightning"], "lightning.pytorch or pytorch_lightning"),
        ("transformers", ["transformers"], "transformers"),
        ("tensorboard", ["tensorboard"], "tensorboard"),
        ("wandb", ["wandb"], "wandb"),
    ],
)
def test_a_missing_package_is_named_with_the_way_to_get_it(name, hidden, words, monkeypatch):
    class Hide:
        """An import finder for which these packages do not exist."""

        @staticmethod
        def find_spec(module, path=None, target=None):
            if module.split(".")[0] in hidden:
                raise ModuleNotFoundError(f"No module named {module!r}", name=module.split(".")[0])

    for module in list(sys.modules):
        if module.split(".")[0] in hidden or module == f"nongreedy.integrations.{name}":
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Hide, *sys.meta_path])
    with pytest.raises(ImportError, match=rf"needs {words}.*pip install 'nongreedy\[{name}\]'"):
        importlib.import_module(f"nongreedy.integrations.{name}")


def test_a_module_missing_within_an_installed_package_is_not_called_missing(tmp_path, monkeypatch):
    from nongreedy._extras import optional

    (tmp_path / "halfbroken.py").write_text("import some_other_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="some_other_package_that_is_not_there"):
        optional("It", "halfbroken")


# ---- on_end -------------------------------------------------------------------------------------


class Ends(ng.Callback):
    """Counts ends; ends the search itself by `error` at the first outer step."""

    def __init__(self, error=None):
        self.ends, self.rows, self.error = 0, 0, error

    def on_outer_step(self, row):
        assert self.ends == 0
        self.rows += 1
        if self.error is not None:
            raise self.error

    def on_end(self):
        self.ends += 1


@pytest.mark.parametrize(
    "error",
    [None, KeyboardInterrupt(), ng.DivergedError("training loss", 1, 6), OSError("disk full")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("find", [search, online])
def test_a_search_ends_once_however_it_ends(find, error):
    first, second = Ends(), Ends(error)
    if error is None or (find is search and not isinstance(error, OSError)):
        find([first, second])  # returns what was found so far
    else:
        with pytest.raises(type(error)):
            find([first, second])
    assert first.ends == second.ends == 1 and first.rows >= 1


def test_every_callback_ends_even_where_one_fails_to():
    class Broken(ng.Callback):
        def on_end(self):
            raise OSError("disk full")

    first, last = Ends(), Ends()
    with pytest.raises(OSError, match="disk full"):
        search([first, Broken(), last])
    assert first.ends == last.ends == 1
