"""``nongreedy nas``: files, messages, going on."""

import json
import sys

import pytest
import torch
from typer.testing import CliRunner

from nongreedy import nas
from nongreedy.cli import app


def run(folder, *words, expect=0):
    done = CliRunner().invoke(app, ["nas", "--out", str(folder), *words])
    assert done.exit_code == expect, done.output
    return done.stdout, done.stderr


QUICK = ("--steps", "8", "--train-examples", "96", "--depth", "2,0,0,0,0", "--rivals", "1")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Costs that are the same on every machine: what the command does is tested, not the stopwatch."""
    file = tmp_path_factory.mktemp("table") / "table.json"
    net = nas.search_space(
        classes=10, in_channels=1, resolution=8, width=0.25, depth=(2, 0, 0, 0, 0), head=64
    )
    nas.parameters(net).save(file)
    return file


def test_the_command_writes_a_network_and_a_page_and_goes_on(tmp_path, table):
    out = tmp_path / "nas"
    target = ("--latency-ms", "13000", "--table", str(table))
    said, _ = run(out, *QUICK, *target)
    assert "target 1.3e+04" in said and "validation accuracy" in said
    names = {"nas.html", "nas.json", "nas.png", "model.pt", "model.py", "nas.ckpt"}
    assert names <= {file.name for file in out.iterdir()}
    content = json.loads((out / "nas.json").read_text())
    assert content["predicted"] <= 13000 and len(content["rivals"]) > 30
    page = (out / "nas.html").read_text()
    assert "<svg" in page and "Architecture search" in page and "http-equiv" in page
    room = {}
    exec((out / "model.py").read_text(), room)
    room["build"]().load_state_dict(torch.load(out / "model.pt", weights_only=True))
    again, _ = run(out, *QUICK, *target)
    assert "search 1/8" not in again and "train 8/8" not in again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--latency-ms", "1"), "error: No network of this space costs only 1"),
        (("--backend", "abacus"), "error: --backend takes eager or onnx"),
        (
            ("--data", "houses.csv"),
            "error: The networks are for images of classes, but 'houses.csv'",
        ),
        (("--data", "nothing-here"), "error: Unknown data set"),
        (("--depth", "two"), "error: --depth takes numbers"),
        (("--width", "0"), "error: `width` must be a positive finite number"),
        (("--latency-ms", "-5"), "error: `target` must be a positive finite number, but got -5"),
        (("--table", "missing.json"), "error: Cannot read a table"),
    ],
)
def test_mistakes_are_one_line(tmp_path, table, words, message):
    known = () if "--table" in words else ("--table", str(table))
    _, said = run(tmp_path / "out", *QUICK[:6], *known, *words, expect=2)
    assert message in said and said.strip().count("\n") == 0


def test_a_backend_that_is_not_installed_is_a_mistake(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    _, said = run(tmp_path / "out", *QUICK[:6], "--backend", "onnx", expect=2)
    assert "pip install 'nongreedy[onnx]'" in said
