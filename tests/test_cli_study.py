"""Studies on the command line: `nongreedy tune` keeps one, `nongreedy resume` goes on with it."""

import json
import signal
import subprocess
import textwrap

import pytest
from typer.testing import CliRunner

import nongreedy as ng
from nongreedy.cli import app

from .study_runs import Killed
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


def judged(folder):
    return json.loads((folder / "history.json").read_text())["comparison"]


def test_a_comparison_killed_in_its_middle_is_not_paid_twice(tmp_path, monkeypatch):
    asked = [*TINY, "--outer", "paper", "--compare-seeds", 2, "--out"]
    assert run("tune", *asked, tmp_path / "whole").exit_code == 0
    trained, real = [], ng.retrain

    def dying(*given, **named):
        if len(trained) == 3:
            raise Killed
        trained.append(named["seed"])
        return real(*given, **named)

    monkeypatch.setattr(ng, "retrain", dying)
    with pytest.raises(Killed):
        run("tune", *asked, tmp_path / "broken")
    again = []
    monkeypatch.setattr(ng, "retrain", lambda *g, **n: again.append(n["seed"]) or real(*g, **n))
    result = run("resume", tmp_path / "broken" / "study.db")
    assert result.exit_code == 0, result.output
    assert len(trained) == 3 and len(again) == 5  # of eight
    assert judged(tmp_path / "broken") == judged(tmp_path / "whole")
    again.clear()
    assert run("resume", tmp_path / "broken" / "study.db").exit_code == 0
    assert again == []
    assert judged(tmp_path / "broken") == judged(tmp_path / "whole")


def test_the_comparison_is_named_outside_the_budget_with_its_price(tmp_path):
    asked = ["--outer", "paper", "--outer-steps", 1, "--budget", 16, "--compare-seeds", 1]
    result = run("tune", *TINY[:-2], *asked, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "takes 4 plain runs more, which are not part of --budget (--no-compare" in result.output
    told = " ".join(CliRunner().invoke(app, ["tune", "--help"]).output.replace("│", " ").split())
    assert "4 x --compare-seeds plain runs, outside --budget and --timeout" in told


def test_a_search_is_extended_by_resume(tmp_path):
    short, whole = tmp_path / "short", tmp_path / "whole"
    asked = [*TINY[:-1], 4, "--outer", "paper", "--no-compare", "--out"]
    assert run("tune", *asked, whole).exit_code == 0
    assert run("tune", *asked[:7], 2, *asked[8:], short).exit_code == 0
    assert history_of(short) != history_of(whole)
    result = run("resume", short / "study.db", "--outer-steps", 4)
    assert result.exit_code == 0, result.output
    assert history_of(short) == history_of(whole) and coefficients(short) == coefficients(whole)
    again = run("resume", short / "study.db")  # what was raised stays raised
    assert again.exit_code == 0 and history_of(short) == history_of(whole)
    less = run("resume", short / "study.db", "--outer-steps", 3)
    assert less.exit_code == 2 and "--outer-steps 3 is less than the study's 4" in less.stderr
    assert run("resume", short / "study.db").exit_code == 0  # and nothing was written
    finite = run("resume", short / "study.db", "--budget", 50)
    assert finite.exit_code == 2 and "--budget 50.0 is less than the study's none" in finite.stderr


def test_studies_begun_before_an_option_existed_go_on_and_later_ones_name_their_release(tmp_path):
    asked = [*TINY, "--outer", "paper", "--no-compare", "--out", tmp_path]
    assert run("tune", *asked).exit_code == 0
    study = ng.Study(tmp_path / "study.db", "search-1")
    known = study.notes()["command"]
    study.note("command", {k: v for k, v in known.items() if k not in ("timeout", "start")})
    first = history_of(tmp_path)
    result = run("resume", tmp_path / "study.db")
    assert result.exit_code == 0, result.output
    assert history_of(tmp_path) == first
    study.note("command", {**known, "telepathy": True})
    refused = run("resume", tmp_path / "study.db")
    assert refused.exit_code == 2
    assert "(telepathy)" in refused.stderr and f"Install release {ng.__version__}" in refused.stderr


def test_start_and_timeout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = [*TINY[:-1], 1, "--no-compare"]
    refused = run("tune", *quick, "--start", "practise", "--out", "out")
    assert refused.exit_code == 2 and "practice, zero or the file of a schedule" in refused.stderr
    file = ["--model", "mlp", "--train-examples", "160", "--epochs", "8", "--outer", "paper"]
    zero = run("tune", *quick, "--start", "zero", "--outer", "paper", "--out", "zero")
    assert zero.exit_code == 0, zero.output
    (row,) = json.loads((tmp_path / "zero" / "history.json").read_text())["rows"]
    assert set(row["values"]["learning_rate"]) == {0.0}
    begun = run(
        "tune", *file, "--outer-steps", 1, "--start", "zero/schedule.json", "--no-compare",
        "--out", "file",
    )  # fmt: skip
    assert begun.exit_code == 0, begun.output
    (row,) = json.loads((tmp_path / "file" / "history.json").read_text())["rows"]
    rates = ng.Schedule.load(tmp_path / "zero" / "schedule.json")["learning_rate"].tolist()
    assert row["values"]["learning_rate"] == pytest.approx(rates)
    late = run(
        "tune", *file, "--outer-steps", 5000, "--timeout", 2, "--no-compare", "--out", "late"
    )
    assert late.exit_code == 0, late.output
    assert 0 < len(json.loads((tmp_path / "late" / "history.json").read_text())["rows"]) < 5000


def test_the_history_has_the_gain_and_the_output_its_verdict(tmp_path):
    result = run("tune", *TINY, "--no-compare", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    gain = json.loads((tmp_path / "history.json").read_text())["gain"]
    known = {"loss", "standard_error", "seeds", "fallback", "hopeless", "diverged", "verdict"}
    assert known == set(gain)
    assert gain["verdict"] in result.output


def test_a_recipe_is_learned_judged_and_resumed(tmp_path):
    words = [*TINY[:-1], 1, "--learn", "label_smoothing, noise", "--compare-seeds", 1]
    begun = run("tune", *words, "--out", tmp_path)
    assert begun.exit_code == 0, begun.output
    assert "learned: label_smoothing, noise" in begun.output
    assert "ng.recipe.Training" in begun.output
    found = ng.Schedule.load(tmp_path / "schedule.json")
    assert {"label_smoothing", "noise"} <= set(found.curves)
    rows = json.loads((tmp_path / "history.json").read_text())["comparison"]
    assert len(rows) == 4  # the hand-tuned schedules train without a recipe
    again = run("resume", tmp_path / "study.db", "--outer-steps", 2)
    assert again.exit_code == 0, again.output
    refused = run("tune", *words[:-4], "--learn", "augmentations", "--out", tmp_path / "x")
    assert refused.exit_code == 2 and "Did you mean 'augmentation'?" in refused.stderr
    assert not (tmp_path / "x" / "study.db").exists()
