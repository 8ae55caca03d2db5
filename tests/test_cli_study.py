"""Studies on the command line: `nongreedy tune` keeps one, `nongreedy resume` goes on with it."""

import json
import signal
import subprocess
import textwrap

import pytest

import nongreedy as ng

from .test_cli import LONG, TASK_FILE, TINY, command, run

QUICK = [*TINY, "--no-compare"]


def history_of(folder):
    """What the history says but for seconds and places."""
    content = json.loads((folder / "history.json").read_text())
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in content["rows"]]
    return rows, content["status"], content["cost_in_plain_runs"], content["validation_loss"]


def coefficients(folder):
    return json.loads((folder / "schedule.json").read_text())["hyperparameters"]


def test_killed_and_resumed_it_writes_the_same_files(tmp_path, environment):
    long = [*LONG[:-1], 4, "--no-compare"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run("tune", *long, "--out", whole).exit_code == 0
    with subprocess.Popen(
        command("tune", *long, "--out", broken), env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        head = [process.stdout.readline() for _ in range(4)]  # to the first outer step
        process.send_signal(signal.SIGKILL)
    assert head[3].split()[0] == "0"
    assert not (broken / "schedule.json").exists()
    result = run("resume", broken / "study.db")
    assert result.exit_code == 0, result.output
    assert history_of(broken) == history_of(whole)
    assert coefficients(broken) == coefficients(whole)
    assert ng.Study(broken / "study.db", "search-1").finished


def test_each_search_has_a_study_of_its_own(tmp_path):
    for seed in (0, 1):
        assert run("tune", *QUICK, "--seed", seed, "--out", tmp_path).exit_code == 0
    assert ng.Study.names(tmp_path / "study.db") == ["search-1", "search-2"]
    second = coefficients(tmp_path)
    result = run("resume", tmp_path / "study.db", "--name", "search-1")
    assert result.exit_code == 0, result.output
    assert coefficients(tmp_path) != second
    assert run("resume", tmp_path / "study.db").exit_code == 0  # the newest, as all are finished
    assert coefficients(tmp_path) == second


def test_an_interrupted_search_says_how_to_go_on(tmp_path, monkeypatch):
    real = ng.tune

    def interrupted(*given, **named):
        result = real(*given, **{**named, "outer_steps": 1})
        return ng.Result(**{**vars(result), "status": ng.Status.interrupted})

    monkeypatch.setattr(ng, "tune", interrupted)
    result = run("tune", *QUICK, "--out", tmp_path)
    assert result.exit_code == 130
    advice = f"nongreedy resume {tmp_path}/study.db --name search-1"
    assert advice in result.output
    (storage := ng.Study(tmp_path / "study.db", "search-2").open(create=True)).close()
    assert storage.name == "search-2"
    again = run("tune", *QUICK, "--out", tmp_path)
    assert "search-2 in " in again.output and "is unfinished. To go on:" in again.output


def test_a_task_of_ones_own_is_named_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_task.py").write_text(textwrap.dedent(TASK_FILE))
    asked = ["my_task.py:task", "--epochs", 4, "--outer-steps", 2, "--no-compare", "--out", "out"]
    assert run("tune", *asked).exit_code == 0
    first = coefficients(tmp_path / "out")
    refused = run("resume", "out/study.db")
    assert refused.exit_code == 2
    assert "nongreedy resume STUDY my_task.py:task" in refused.stderr
    result = run("resume", "out/study.db", "my_task.py:task")
    assert result.exit_code == 0, result.output
    assert coefficients(tmp_path / "out") == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resume", "nowhere.db"], "No study in 'nowhere.db'"),
        (["resume", "study.db", "--name", "search-7"], "No study 'search-7' in 'study.db'"),
        (["resume", "study.db", "my_task.py"], "is of target None, not 'my_task.py'. Give none"),
        (["resume", "by-hand.db"], "was not begun by `nongreedy tune`"),
        (["resume", "broken.db"], "no SQLite database, or is damaged"),
        (["tune", *QUICK, "--study", "file/s.db"], "Cannot create the directory of 'file/s.db'"),
    ],
)
def test_what_cannot_be_resumed_is_said(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.db").write_text("text, and no database at all " * 99)
    if "study.db" in arguments:
        assert run("tune", *QUICK, "--out", ".").exit_code == 0
    ng.Study("by-hand.db").open(create=True).close()
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
