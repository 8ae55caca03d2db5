"""``nongreedy compare``, used as a person uses it."""

import json
import textwrap

import pytest
from typer.testing import CliRunner

import nongreedy as ng
from nongreedy.cli import app
from nongreedy.comparison import _method as method

from .test_cli import REGRESSION_FILE, only_line

TINY = ["--model", "mlp", "--train-examples", "160", "--batch-size", "32", "--epochs", "2",
        "--budget", "8", "--seeds", "2", "--retrain-seeds", "2", "--curve-seeds", "0"]  # fmt: skip
NAMES = "default, cosine,random"


def run(*arguments):
    return CliRunner().invoke(app, ["compare", *(str(argument) for argument in arguments)])


def test_writes_a_table_and_goes_on_where_it_stopped(tmp_path, monkeypatch):
    def stopping(task, schedule, **settings):
        if len(trained) == 6:  # two for each of the three methods at the first outer seed
            raise KeyboardInterrupt
        trained.append(schedule)
        return original(task, schedule, **settings)

    original, trained = method.retrain, []
    monkeypatch.setattr(method, "retrain", stopping)
    stopped = run(*TINY, "--methods", NAMES, "--out", tmp_path)
    assert stopped.exit_code == 130, stopped.output
    assert "Interrupted: the same command goes on from here." in stopped.output
    assert len(ng.Comparison.load(tmp_path / "compare.db").pieces) == 3

    monkeypatch.setattr(method, "retrain", original)
    result = run(*TINY, "--methods", NAMES, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert result.output.count("seed 0") == 0 and result.output.count("seed 1") == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "compare.db", "compare.db-savepoints", "compare.html", "compare.json", "compare.png",
        "config.toml",
    ]  # fmt: skip
    content = json.loads((tmp_path / "compare.json").read_text())
    assert sorted(row["method"] for row in content["rows"]) == ["cosine", "default", "random"]
    assert all(len(row["scores"]) == 2 and row["cost"] <= 8 for row in content["rows"])
    assert content["settings"]["batch_size"] == 32 and content["settings"]["steps"] == 10
    for row in content["rows"]:
        assert f"{100 * row['mean']:.2f} ± " in result.output


def test_a_task_of_ones_own_with_its_own_optimizer(tmp_path, monkeypatch):
    text = textwrap.dedent(REGRESSION_FILE) + "optimizer = ng.AdamW(ng.Windows(2, initial=0.01))\n"
    (tmp_path / "regression.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    result = run("regression.py", "--epochs", 3, "--budget", 8, "--seeds", 1, "--out", "out")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out/compare.json").read_text())
    assert content["measure"] == "validation_loss"  # no test data, no classes
    assert "Left out: random-paper-ranges (the paper gives ranges for SGD's" in result.output
    assert {"default", "paper", "tpe", "bohb", "cosine"} <= {r["method"] for r in content["rows"]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--methods", "defualt"], "'default'"),
        (["--methods", "default", "--budget", "3"], "raise it to 8"),
        (["--data", "digts"], "'digits'"),
        (["--knots", "3", "--windows", "2"], "exclude each other"),
        (["--windows", "auto"], "the same number of values"),
        (["--out", "/proc/nongreedy"], "Cannot write"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(arguments, said, tmp_path):
    result = run(*TINY, "--out", tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert said in only_line(result)
