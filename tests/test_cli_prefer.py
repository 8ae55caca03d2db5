"""``nongreedy prefer``, used as a person uses it."""

import json
import re

import optuna
import pytest
from typer.testing import CliRunner

from nongreedy.cli import app
from nongreedy.preference import _digits

from .browser import Browser, needs_browser
from .preference_cases import TABLE
from .test_cli import only_line

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
CSV = "net,error,ms,MB\n" + "".join(f"n{k},{a},{b},{c}\n" for k, (a, b, c) in enumerate(TABLE))
WAYS = ["--smaller", "error, ms,MB", "--log", "ms,MB", "--name", "net"]


def run(*arguments, typed=""):
    return CliRunner().invoke(app, ["prefer", *map(str, arguments)], input=typed)


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "results.csv"
    file.write_text(CSV + "n9,0.6,95,9\n")  # beaten in everything
    return file


def study(file, directions=("minimize", "minimize"), name="search"):
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    made = optuna.create_study(study_name=name, storage=storage, directions=directions)
    for row in TABLE:
        made.add_trial(optuna.create_trial(values=row[: len(directions)]))
    if len(directions) > 1:
        made.set_metric_names(["error", "ms"])
    storage.remove_session()
    storage.engine.dispose()
    return file


def test_a_table_is_asked_about_written_and_gone_on_with(table, tmp_path):
    out = tmp_path / "out"
    first = run(table, *WAYS, "--out", out, "--answers", "a")
    assert first.exit_code == 0, first.output
    assert "6 items to choose from, 1 left out" in first.output
    assert "ms: smaller is better, by ratios; 0 at 90, 1 at 4" in first.output
    second = run(table, *WAYS, "--out", out, "--answers", "b")
    assert "Going on after 1 answers" in second.output and "Question 2: n" in second.output
    content = json.loads((out / "prefer.json").read_text())
    assert len(content["given"]) == content["answers"] == 2
    assert content["name"] in second.output and content["name"].startswith("n")
    assert sorted(p.name for p in out.iterdir()) == ["dialogue.json", "prefer.html", "prefer.json"]
    whole = run(table, *WAYS, "--out", tmp_path / "whole", "--answers", "a,b")
    assert json.loads((tmp_path / "whole/prefer.json").read_text()) == content, whole.output


def test_in_a_terminal_letters_are_typed(table, tmp_path):
    found = run(table, *WAYS, "--out", tmp_path / "out", "--questions", 2, typed="x\na\nb\n")
    assert found.exit_code == 0, found.output
    assert "Question 2. Which would you rather have?" in found.output
    assert "Type one of a, b, or q, but not 'x'." in found.output
    assert "That was the last of 2 questions." in found.output
    ended = run(table, *WAYS, "--out", tmp_path / "other", typed="q\n")
    assert ended.exit_code == 0 and "It rests on 0 answers." in ended.output


def test_ctrl_c_keeps_what_was_answered(table, tmp_path, monkeypatch):
    def interrupted(question):
        if question.number == 2:
            raise KeyboardInterrupt
        return 0

    monkeypatch.setattr("nongreedy.preference._elicit.asked_in_terminal", interrupted)
    stopped = run(table, *WAYS, "--out", tmp_path)
    assert stopped.exit_code == 130 and "the same command goes on from here" in stopped.output
    assert "Going on after 1 answers" in run(table, *WAYS, "--out", tmp_path, typed="q\n").output


def test_a_study_brings_its_own_directions(tmp_path):
    file = study(tmp_path / "study.db")
    found = run(file, "--out", tmp_path / "out", "--answers", "a a a")
    assert found.exit_code == 0, found.output
    assert re.search(r"  -1 ms is worth \S+ \(\S+ to \S+\) times -1 error\n", found.output)
    assert "ms: smaller is better; 0 at 90, 1 at 4" in found.output and "trial " in found.output
    by_ratio = run(
        file, "--smaller", "ms", "--log", "ms", "--out", tmp_path / "log", "--answers", "a"
    )
    assert "ms: smaller is better, by ratios" in by_ratio.output, by_ratio.output


def test_the_example_is_trained_once(tmp_path, monkeypatch):
    monkeypatch.setattr(_digits, "WIDTHS", (2, 16, 64))
    monkeypatch.setattr(_digits, "EPOCHS", (1, 2))
    first = run("--out", tmp_path, "--answers", "a")
    assert first.exit_code == 0, first.output
    rows = json.loads((tmp_path / "digits.json").read_text())
    assert len(rows) == 6 and rows == _digits.configurations()
    errors = {row["name"]: row["error"] for row in rows}
    assert errors["64 units, 2 epochs"] < 15 < errors["2 units, 1 epochs"] < 95
    monkeypatch.setattr(_digits, "configurations", lambda told: pytest.fail("trained again"))
    assert "Going on after 1 answers" in run("--out", tmp_path, "--answers", "a").output


WRONG = [
    (["nothing.db"], "No file 'nothing.db'"),
    (["nothing.csv", "--smaller", "a,b"], "No file 'nothing.csv'"),
    (["nowhere.csv"], "No file 'nowhere.csv'"),
    (["{csv}"], "which columns of"),
    (["{binary}"], "is no text in UTF-8"),
    (["{semicolons}", "--smaller", "a,b"], "a single column, 'a;b'. Columns are separated by commas"),
    (["{csv}", "--smaller", "error,mms"], "Unknown attribute 'mms'. Did you mean 'ms'?"),
    (["{csv}", "--smaller", "error,net"], "'net' must be a number in every row, but is 'n0' in row 0"),
    (["{gap}", "--smaller", "a,b"], "'b' must be finite in every row, but is 'nan' in row 1"),
    (["{csv}", "--smaller", "error"], "at least two attributes"),
    (["{csv}", "--smaller", "error,ms", "--log", "MB"], "--log names ['MB']"),
    (["{csv}", "--smaller", "error,ms", "--name", "x"], "no column 'x'; it has net, error, ms, MB"),
    (["{csv}", "--smaller", "error,ms", "--answers", "c"], "--answers, question 1: Type one of a, b, or q"),
    (["{csv}", "--smaller", "error,ms", "--cost", "-1"], "`cost` must be zero or a positive"),
    (["{csv}", "--smaller", "ms,MB"], "best in every attribute"),
    (["--smaller", "error"], "give one"),
    (["{one}"], "one objective"),
    (["{two}"], "has 2 studies: first, second"),
    (["{two}", "--name", "third"], "no study 'third'"),
    (["{two}", "--name", "first", "--smaller", "x"], "no objective ['x']"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[said for _, said in WRONG])
def test_mistakes_are_one_line(arguments, said, table, tmp_path):
    places = {"csv": table, "one": tmp_path / "one.db", "two": tmp_path / "two.db"}
    places["gap"], places["binary"] = tmp_path / "gap.csv", tmp_path / "binary.csv"
    places["gap"].write_text("a,b\n1,2\n2,nan\n")
    places["binary"].write_bytes(b"\xff\xfe")
    places["semicolons"] = tmp_path / "semicolons.csv"
    places["semicolons"].write_text("a;b\n1;2\n2;1\n")
    if "{one}" in arguments:
        study(places["one"], ("minimize",))
    if "{two}" in arguments:
        for name in ("first", "second"):
            study(places["two"], name=name)
    found = run(*(a.format(**places) for a in arguments), "--out", tmp_path / "out")
    assert found.exit_code == 2, found.output
    assert said in only_line(found)


@needs_browser
def test_the_page_is_drawn_without_complaint(table, tmp_path):
    run(table, *WAYS, "--out", tmp_path / "out", "--answers", "a b")
    browser = Browser(tmp_path / "profile")
    try:
        for width, dark in ((1100, False), (400, True)):
            browser.open(tmp_path / "out/prefer.html", width, dark=dark)
            assert browser.complaints == []
            assert all(url.startswith(("file:", "data:", "blob:")) for url in browser.requested)
            assert browser.run("document.querySelectorAll('.plot .main-svg').length") >= 2
            assert browser.run("document.documentElement.scrollWidth") <= width
    finally:
        browser.close()
