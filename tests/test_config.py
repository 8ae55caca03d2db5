"""--config: what a file says is as if it were typed, and what was used is a file that can be given again."""

import json
import math
import tomllib
from typing import get_type_hints

import pytest

from nongreedy.cli import _config, app
from nongreedy.cli._compare import compare
from nongreedy.cli._names import flag
from nongreedy.cli._plan import plan
from nongreedy.cli._trust import trust
from nongreedy.cli._tune import tune

from .pages import blocks
from .test_cli import TASK_FILE, only_line, run

COMMANDS = {"tune": tune, "compare": compare, "plan": plan, "trust": trust}
SMALL = """
model = "mlp"
train-examples = 160
epochs = 8
outer-steps = 1
compare = false
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "search.toml"
    path.write_text(SMALL)
    return path


def used(out):
    """The options that a search was begun with."""
    return json.loads((out / "history.json").read_text())["settings"]


def test_what_a_file_says_is_as_if_it_were_typed(file, tmp_path):
    result = run("tune", "--config", file, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    typed = ["--model", "mlp", "--train-examples", 160, "--epochs", 8, "--outer-steps", 1]
    run("tune", *typed, "--no-compare", "--out", tmp_path / "b")
    given, by_hand = used(tmp_path / "a"), used(tmp_path / "b")
    for options in (given, by_hand):
        del options["out"], options["config"]
    assert given == by_hand
    schedules = [(tmp_path / each / "schedule.json").read_text() for each in "ab"]
    assert schedules[0] == schedules[1]


def test_the_command_line_wins(file, tmp_path):
    typed = ["--epochs", 6, "--model", "convnet", "--outer-steps", 2, "--seed", 3]
    result = run("tune", *typed, "--config", file, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    options = used(tmp_path / "a")
    assert [options[n] for n in ("epochs", "model", "outer_steps", "seed")] == [
        6.0,
        "convnet",
        2,
        3,
    ]
    assert options["train_examples"] == 160


def test_what_was_used_can_be_given_again(file, tmp_path):
    first = run("tune", "--config", file, "--epochs", 7, "--out", tmp_path / "a")
    assert (tmp_path / "a" / "config.toml").as_posix() in first.output
    kept = tomllib.loads((tmp_path / "a" / "config.toml").read_text())
    assert kept["epochs"] == 7.0 and kept["compare"] is False and "out" not in kept
    again = run("tune", "--config", tmp_path / "a" / "config.toml", "--out", tmp_path / "b")
    assert again.exit_code == 0, again.output
    schedules = [(tmp_path / each / "schedule.json").read_text() for each in "ab"]
    assert schedules[0] == schedules[1]
    texts = [(tmp_path / each / "config.toml").read_text() for each in "ab"]
    assert texts[0] == texts[1]


def test_an_earlier_search_keeps_its_file(file, tmp_path):
    run("tune", "--config", file, "--out", tmp_path / "a")
    run("tune", "--config", file, "--seed", 7, "--out", tmp_path / "a")
    assert "seed = 0" in (tmp_path / "a" / "search-1" / "config.toml").read_text()
    assert "seed = 7" in (tmp_path / "a" / "config.toml").read_text()


def test_a_resumed_search_writes_what_it_was_extended_to(file, tmp_path):
    run("tune", "--config", file, "--out", tmp_path / "a")
    file.unlink()  # the study knows
    result = run("resume", tmp_path / "a" / "study.db", "--outer-steps", 2)
    assert result.exit_code == 0, result.output
    assert "outer-steps = 2" in (tmp_path / "a" / "config.toml").read_text()


def test_a_task_of_ones_own_is_named_again(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("\n".join(line[4:] for line in TASK_FILE.splitlines()))
    (tmp_path / "own.toml").write_text("epochs = 3\nouter_steps = 1\ncompare = false\n")
    result = run("tune", "own.py:task", "--config", "own.toml", "--out", "a")
    assert result.exit_code == 0, result.output
    first, *_ = (tmp_path / "a" / "config.toml").read_text().splitlines()
    assert first == "# Again: nongreedy tune own.py:task --config config.toml"
    assert run("tune", "own.py:task", "--config", "a/config.toml", "--out", "b").exit_code == 0


def test_the_file_of_the_page(tmp_path):
    (block,) = (each for each in blocks("docs/how-to/options.md") if each.language == "text")
    (tmp_path / "search.toml").write_text(block.text)
    short = ["--epochs", 3, "--outer-steps", 1, "--no-compare"]
    result = run("tune", "--config", tmp_path / "search.toml", *short, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    options = used(tmp_path / "a")
    assert [options[n] for n in ("model", "budget", "compare_seeds")] == ["mlp", 40.0, 3]
    for command in ("plan", "trust", "compare"):
        wrong = run(command, "--config", tmp_path / "search.toml", "--train-examples", 9999)
        assert "9999 exceeds" in wrong.stderr  # what the file says was taken


@pytest.mark.parametrize("command", ["plan", "trust", "compare"])
def test_one_file_serves_all_commands(command, tmp_path):
    file = tmp_path / "search.toml"
    file.write_text('model = "mlp"\ntrain_examples = 160\nepochs = 6\nlive = false\nsample = 2\n')
    more = {
        "plan": [],
        "trust": ["--seeds", 2],
        "compare": ["--methods", "cosine", "--seeds", 1, "--retrain-seeds", 1, "--budget", 8],
    }[command]
    more += ["--out", tmp_path / "c"] if command == "compare" else []
    result = run(command, "--config", file, *more)
    assert result.exit_code == 0, result.output
    lacking = "live left out" if command == "plan" else "live, sample left out"
    assert f"{lacking}, which `nongreedy {command}` does not have" in result.stderr
    assert "digits, mlp" in result.stdout
    if command == "compare":
        kept = tomllib.loads((tmp_path / "c" / "config.toml").read_text())
        assert (kept["methods"], kept["seeds"], kept["epochs"]) == ("cosine", 1, 6.0)


def test_lists_are_joined(tmp_path):
    (tmp_path / "c.toml").write_text('methods = ["cosine", "no-such-method"]\n')
    result = run("compare", "--config", tmp_path / "c.toml", "--out", tmp_path / "c")
    assert "'no-such-method'" in only_line(result)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epoch = 3", "there is no option 'epoch'. Did you mean 'epochs'?"),
        ("no-compare = true", "there is no option 'no-compare'. Did you mean 'compare'?"),
        ("config = 'b.toml'", "there is no option 'config'"),
        ("help = true", "there is no option 'help'"),
        ("'' = 1", "there is no option ''"),
        ("epochs = 'three'", "epochs = 'three': "),
        ("outer-steps = 2.5", "outer-steps = '2.5': "),
        ("outer-steps = 0", "outer-steps = '0': "),
        ("seed = -1", "seed = '-1': "),
        ("epochs = true", "epochs takes a number or a text, but got true"),
        ("compare = 1", "compare takes true or false, but got 1"),
        ("compare = 'no'", 'compare takes true or false, but got "no"'),
        ("[tune]\nepochs = 3", "tune is a table"),
        ("seed = 1979-05-27", "seed = '1979-05-27': "),
        ("epochs = ", "Cannot read"),
        ("epochs: 3", "Cannot read"),
        ("epochs = 3\nepochs = 4", "Cannot read"),
        ("\xff", "Cannot read"),
        ("data = 'digts'", "'digits'"),
        ("windows = 2\nknots = 3", "--windows 2 and --knots 3 exclude each other"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_no_study(text, said, tmp_path):
    file = tmp_path / "c.toml"
    file.write_bytes(text.encode("latin-1"))
    result = run("tune", "--config", file, "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert said in only_line(result)
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_is_none_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("tune", "--config", name, "--out", tmp_path / "out")
    assert result.exit_code == 2 and name in only_line(result)


def test_every_option_has_the_name_that_is_written(tmp_path):
    """Help and the files of runs spell them by rooms of their own."""
    registered = {each.name or each.callback.__name__: each for each in app.registered_commands}
    for command, function in COMMANDS.items():
        assert registered[command].callback is function
        help_ = run(command, "--help").output
        for name in get_type_hints(function).keys() - {"return", "target"}:
            assert f"--{flag(name)}"[:20] in help_, (command, name)


def test_any_text_and_number_come_back(tmp_path):
    told = {
        "target": None,
        "a": 'x "y" \\ \n \t \x7f \u2028 ü 🙂',
        "b": math.inf,
        "c": 1e-7,
        "d": False,
    }
    told |= {"e": 10**20, "f": None, "study": "postgresql://user:password@host"}
    read = tomllib.loads(_config.content("tune", told))
    assert read == {name: told[name] for name in "abcde"}
