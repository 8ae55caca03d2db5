"""The command line, used as a person uses it."""

import json
import math
import os
import pty
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import nongreedy as ng
from nongreedy.cli import _judge, app

from .helpers import hear_interrupts

TINY = ["--model", "mlp", "--train-examples", "160", "--epochs", "8", "--outer-steps", "2"]
# Half a second per outer step, and unsettled for at least ten.
LONG = [*TINY[:4], "--epochs", "40", "--outer", "paper", "--outer-steps", "5000"]
FILES = ["config.toml", "history.json", "schedule.json", "schedule.png"]
STUDY = ["study.db", "study.db-savepoints"]
TASK_FILE = """
    import torch
    import nongreedy as ng

    inputs = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
    pair = inputs, (inputs[:, 0] > 0).long()

    def make_task():
        return ng.Task(
            model=lambda: torch.nn.Linear(4, 2),
            loss=torch.nn.functional.cross_entropy,
            train=pair, validation=pair, test=pair, batch_size=32,
        )

    task = make_task()
    number = 3
"""
REGRESSION_FILE = """
    import torch
    import nongreedy as ng

    inputs = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    pair = inputs, inputs.sum(1, keepdim=True)
    task = ng.Task(lambda: torch.nn.Linear(3, 1), torch.nn.functional.mse_loss, pair, pair,
                   batch_size=16)
"""


def run(*arguments):
    """The command with these arguments, in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def command(*arguments):
    """The same for a process of its own."""
    return [sys.executable, "-m", "nongreedy", *(str(argument) for argument in arguments)]


@pytest.fixture
def task_file(tmp_path):
    path = tmp_path / "my_task.py"
    path.write_text(textwrap.dedent(TASK_FILE))
    return path


def only_line(result):
    """The one line of an error, which no traceback accompanies."""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("outer", ["auto", "paper"])
def test_tune_finds_writes_and_explains(tmp_path, outer):
    out = tmp_path / "deep" / "out"
    result = run("tune", *TINY, "--outer", outer, "--compare-seeds", 2, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == FILES + STUDY

    history = json.loads((out / "history.json").read_text())
    assert [row["index"] for row in history["rows"]] == [0, 1]
    assert history["settings"]["outer"] == outer
    assert [entry["name"] for entry in history["comparison"]] == [
        "the schedule found", "cosine, peak 0.03", "cosine, peak 0.1", "cosine, peak 0.3",
    ]  # fmt: skip
    assert all(len(entry["scores"]) == 2 for entry in history["comparison"])
    for name in [*FILES, STUDY[0]]:
        assert (out / name).as_posix() in result.output
    assert "The schedule found " in result.output


def test_comparison_says_what_fresh_trainings_give(tmp_path):
    run("tune", *TINY, "--compare-seeds", 2, "--out", tmp_path)
    entry = json.loads((tmp_path / "history.json").read_text())["comparison"][1]
    splits = ng.data.load("digits", train_examples=160)
    task = ng.Task(
        ng.models.build("mlp", (1, 8, 8), 10), torch.nn.functional.cross_entropy,
        splits.train, splits.validation, splits.test,
    )  # fmt: skip
    trained = [
        ng.retrain(task, ng.cosine_schedule(0.03), epochs=8, seed=seed).test_accuracy
        for seed in _judge.fresh_seeds(0, 2)
    ]
    assert entry["scores"] == pytest.approx([100 * score for score in trained])


def test_pasted_lines_run(tmp_path):
    result = run("tune", *TINY, "--no-compare", "--out", tmp_path)
    block = result.output.split("In your own training loop")[1].split("\n", 1)[1]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0)
    exec(textwrap.dedent(block), {"optimizer": optimizer})
    rate = ng.Schedule.load(tmp_path / "schedule.json").values(8)["learning_rate"][1]  # one step on
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rate.item())


@pytest.mark.parametrize("target", ["my_task.py:task", "my_task.py:make_task", "my_task.py"])
def test_own_task_from_a_file(task_file, tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    result = run("tune", target, "--epochs", 3, "--outer-steps", 1, "--no-compare", "--out", "out")
    assert result.exit_code == 0, result.output
    assert json.loads(Path("out/history.json").read_text())["steps"] == 9


def test_own_task_from_a_module_with_its_own_optimizer(task_file, tmp_path, monkeypatch):
    text = task_file.read_text() + "optimizer = ng.SGD(ng.Windows(1), momentum=0.25)\n"
    (tmp_path / "package_of_tasks.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    result = run(
        "tune", "package_of_tasks:task", "--epochs", 3, "--outer-steps", 1,
        "--no-compare", "--out", "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert ng.Schedule.load("out/schedule.json")["momentum"].tolist() == [0.25]
    refused = run("tune", "package_of_tasks:task", "--windows", 2, "--out", "out")
    assert "--windows does not apply" in only_line(refused)


def test_task_without_classes_or_test_data_is_judged_by_its_loss(tmp_path):
    path = tmp_path / "regression.py"
    path.write_text(textwrap.dedent(REGRESSION_FILE))
    result = run(
        "tune", path, "--epochs", 3, "--outer-steps", 1, "--compare-seeds", 1, "--out", tmp_path
    )
    assert result.exit_code == 0, result.output
    comparison = json.loads((tmp_path / "history.json").read_text())["comparison"]
    assert {entry["measure"] for entry in comparison} == {"validation_loss"}
    assert "acc" not in result.output
    assert (
        "On one seed, which may be luck, the loss of the schedule found differs by" in result.output
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "digts"], "'digits'"),
        (["--data", "no/such/folder"], "no/such/folder"),
        (["--model", "convent"], "'convnet'"),
        (["--model", "wrn-15-1"], "15"),
        (["--engine", "revers"], "'reverse'"),
        (["--engine", "reverse:diks"], "'disk'"),
        (["--outer", "papr"], "'paper'"),
        (["--device", "cud"], "cpu"),
        (["--windows", "999", "--epochs", "1"], "999"),
        (["--knots", "999", "--epochs", "1"], "999"),
        (["--windows", "0"], "at least 1, or auto, but got '0'"),
        (["--windows", "atuo"], "or auto, but got 'atuo'"),
        (["--windows", "auto", "--outer", "paper"], "default outer rule"),
        (["--knots", "3", "--windows", "2"], "exclude each other"),
        (["--epochs", "0"], "epochs"),
        (["--budget", "0.5"], "0.5"),
        (["my_tusk.py:task"], "'my_task.py'"),
        (["my_task.py:tusk"], "'task'"),
        (["my_task.py:number"], "'int'"),
        (["no_such_module:task"], "no_such_module"),
        (["my_task.py:task", "--batch-size", "8"], "--batch-size does not apply"),
        (["broken.py:task"], "ZeroDivisionError"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    arguments, said, task_file, tmp_path, monkeypatch
):
    (tmp_path / "broken.py").write_text("task = 1 / 0\n")
    monkeypatch.chdir(tmp_path)
    result = run("tune", *arguments, "--out", "out")
    assert result.exit_code == 2, result.output
    assert said in only_line(result)


def test_windows_may_be_found_by_evidence(tmp_path):
    result = run("tune", "--windows", "auto", "--epochs", 2, "--outer-steps", 1,
                 "--no-compare", "--out", tmp_path)  # fmt: skip
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "history.json").read_text())
    assert content["settings"]["optimizer"]["learning_rate"]["count"] == "auto"
    assert len(content["rows"][0]["values"]["learning_rate"]) == 1


@pytest.mark.parametrize("place", ["a_file", "a_file/below", "/proc/nongreedy"])
def test_unwritable_directory_is_found_before_computing(place, tmp_path, monkeypatch):
    monkeypatch.setattr(ng, "tune", lambda *_, **__: pytest.fail("computed before checking --out"))
    monkeypatch.setattr(ng.data, "load", lambda *_, **__: pytest.fail("loaded before checking"))
    (tmp_path / "a_file").write_text("here first")
    result = run("tune", "--out", tmp_path / place)
    assert result.exit_code == 2, result.output
    assert "Cannot write" in only_line(result)


def raising(error):
    def function(*_, **__):
        raise error

    return function


def test_failed_run_exits_1(tmp_path, monkeypatch):
    monkeypatch.setattr(ng, "tune", raising(ng.DivergedError("training loss", 3, 9)))
    result = run("tune", *TINY, "--out", tmp_path)
    assert result.exit_code == 1
    assert "step 3 of 9" in only_line(result)


def test_interrupted_before_the_first_run_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(ng, "tune", raising(KeyboardInterrupt()))
    result = run("tune", *TINY, "--out", tmp_path)
    assert result.exit_code == 130
    assert "nothing to write" in result.stderr


def test_interrupted_comparison_keeps_what_it_has(tmp_path, monkeypatch):
    trained = []

    def retrain(*arguments, **settings):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(original(*arguments, **settings))
        return trained[-1]

    original = ng.retrain
    monkeypatch.setattr(ng, "retrain", retrain)
    result = run("tune", *TINY, "--compare-seeds", 2, "--out", tmp_path)
    assert result.exit_code == 130, result.output
    assert "Interrupted: what was found so far is written" in result.output
    history = json.loads((tmp_path / "history.json").read_text())
    assert [len(entry["scores"]) for entry in history["comparison"]] == [2, 1]


def test_interrupt_in_a_pipe_keeps_what_was_found_in_plain_lines(tmp_path, environment):
    arguments = command("tune", *LONG, "--out", tmp_path)
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=hear_interrupts,
    ) as process:  # fmt: skip
        head = [process.stdout.readline()]
        while head[-1].split()[:1] != ["1"]:  # between the rows it is explained what stands in them
            head.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130, rest + errors
    assert errors == ""
    assert "\x1b" not in "".join(head) + rest
    chosen = "engine: Reverse(store=Graphs()) (chosen by the planner: the graphs of all "
    assert "takes 20 plain runs more, which are not part of the cost of the search" in head[1]
    assert head[2].startswith(chosen) and head[3].split()[0] == "outer"
    assert head[4].split()[0] == "0"
    assert "Interrupted: what was found so far is written." in rest
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES + STUDY
    ng.Schedule.load(tmp_path / "schedule.json")
    assert json.loads((tmp_path / "history.json").read_text())["status"] == "interrupted"


def read_until(master, marker, seconds=60.0):
    """What a terminal shows until the marker appears, or the process closes it."""
    shown, limit = b"", time.monotonic() + seconds
    while marker not in shown and time.monotonic() < limit:
        if select.select([master], [], [], 1.0)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:  # Linux: the other end is closed
                break
    return shown


def test_live_terminal_shows_rows_and_progress_until_ctrl_c(tmp_path, environment):
    master, slave = pty.openpty()
    arguments = command("tune", *LONG, "--out", tmp_path)
    process = subprocess.Popen(
        arguments, env={**environment, "TERM": "xterm", "COLUMNS": "100"},
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=hear_interrupts,
    )  # fmt: skip
    os.close(slave)
    shown = read_until(master, b"outer step 2 of 5000")
    process.send_signal(signal.SIGINT)
    shown += read_until(master, b"no such marker")
    assert process.wait(timeout=60) == 130, shown.decode()
    os.close(master)
    text = shown.decode()
    assert "\x1b[" in text
    assert "plain run" in text
    assert "left" in text
    assert "learning rate" in text
    assert "Interrupted: what was found so far is written." in text
    assert (tmp_path / "schedule.json").exists()


def test_version_and_datasets():
    assert run("--version").output.split() == ["nongreedy", ng.__version__]
    listed = run("datasets").output
    for name, _ in ng.data.describe():
        assert name in listed


def entry(name, *scores, diverged=0):
    """The fresh trainings of one schedule, by their test accuracies in percent."""
    losses = [math.inf] * diverged + [0.5] * (len(scores) - diverged)
    return [
        _judge.piece(name, seed, ng.Retrained(torch.nn.Identity(), loss, None, None, score / 100))
        for seed, (loss, score) in enumerate(zip(losses, scores, strict=True))
    ]


@pytest.mark.parametrize(
    ("found", "rivals", "said"),
    [
        ([97.0, 98.0], [[95.0, 96.1], [80.0, 81.0]], "is above the best"),
        ([97.0, 98.0], [[97.0, 97.5], [80.0, 81.0]], "cannot be told from the best"),
        ([97.0, 97.1], [[97.2, 97.9], [80.0, 81.0]], "cannot be told from the best"),
        ([96.0, 96.1], [[80.0, 81.0], [97.0, 97.11]], "falls short of the best"),
        ([96.0], [[80.0], [97.0]], "On one seed, which may be luck"),
    ],
)
def test_verdict(found, rivals, said):
    table = [entry(_judge.FOUND, *found), *(entry(f"rival {i}", *r) for i, r in enumerate(rivals))]
    verdict = _judge.verdict([piece for each in table for piece in each])
    assert said in verdict
    best = max(range(len(rivals)), key=lambda i: sum(rivals[i]))
    assert f"rival {best}" in verdict


def test_verdict_on_a_schedule_that_diverges_praises_nothing():
    table = [*entry(_judge.FOUND, 98.0, 10.0, diverged=1), *entry("rival", 50.0, 51.0)]
    assert "1 of 2 trainings diverged" in _judge.verdict(table)
    assert "(1 of 2 diverged)" in _judge.line(table[:2])


def losses(name, *scores):
    """The same, by test losses, with no accuracy."""
    return [
        _judge.piece(name, seed, ng.Retrained(torch.nn.Identity(), score, None, score, None))
        for seed, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("found", "rivals", "said"),
    [
        ([0.1, 0.2], [[0.3, 0.41], [0.5, 0.6]], "found is below that of the best of 3"),
        ([0.5, 0.6], [[0.3, 0.41], [0.5, 0.6]], "found is above that of the best of 3"),
        ([0.3, 0.4], [[0.35, 0.36], [0.5, 0.6]], "found cannot be told from that of the best of 3"),
        ([0.3, 0.4], [[math.inf, 0.1], [math.inf, 0.1]], "Each of the fixed cosines diverged"),
        ([0.3, math.inf], [[0.3, 0.4], [0.5, 0.6]], "unreliable: 1 of 2 trainings diverged"),
    ],
)
def test_verdict_on_losses(found, rivals, said):
    table = [
        losses(_judge.FOUND, *found),
        *(losses(f"rival {i}", *r) for i, r in enumerate(rivals)),
    ]
    assert said in _judge.verdict([piece for each in table for piece in each])


def test_losses_are_said_in_the_units_of_what_is_predicted():
    scale = ng.data.TargetScale("price", 100.0, 20.0)
    line = _judge.line(losses("a", 0.25, 0.36), scale)
    assert line.endswith("0.3050 ± 0.0550 test loss, RMSE 11 ± 1")
    diverged = losses("a", 0.25, math.inf)
    assert _judge.line(diverged, scale).endswith("  inf test loss (1 of 2 diverged)")
    (record,) = _judge.records(diverged, scale)
    assert record["rmse"] == [10.0, math.inf] and math.isnan(record["standard_error"])


def test_standard_error_of_the_mean():
    (record,) = _judge.records(entry("a", 1.0, 2.0, 3.0))
    assert record["standard_error"] == pytest.approx(1 / 3**0.5)
    assert "2.00 ± 0.58 % test accuracy" in _judge.line(entry("a", 1.0, 2.0, 3.0))
