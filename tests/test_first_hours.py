"""What new users met in their first hours: each case is refused in one helpful line, or works.

More first mistakes are in test_first_mistakes.py, test_bad_input.py and test_cli.py.
"""

import json
import math
import os
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import nongreedy as ng

from .helpers import assert_refused, classes
from .test_cli import TINY, only_line, run

X, Y = classes(40, (4,), 0)
BESIDE = classes(20, (4,), 1)
SGD, ADAM = torch.optim.SGD, torch.optim.Adam


def task(**changed):
    settings = {
        "model": lambda: nn.Linear(4, 3),
        "loss": functional.cross_entropy,
        "train": (X, Y),
        "validation": BESIDE,
        "batch_size": 10,
        **changed,
    }
    return ng.Task(**settings)


def parameters():
    return nn.Linear(4, 3).parameters()


def gradient(**changed):
    return ng.hypergradient(task(**changed), ng.SGD(), steps=4)


def column(loss, outputs=lambda: nn.Linear(4, 1), targets=X[:, 0]):
    """A regression of one number, by a loss."""
    data = X, targets
    return gradient(model=outputs, loss=loss, train=data, validation=(X + 1, targets))


def weighted(output, target, hypers):
    losses = functional.cross_entropy(output, target, reduction="none")
    return (losses * hypers["w"][hypers.index]).mean()


def tuned(**settings):
    optimizer = settings.pop("optimizer", ng.SGD())
    return ng.tune(
        settings.pop("task", None) or task(), optimizer, steps=4, outer_steps=1, **settings
    )


# ---- Accepted silently, once -----------------------------------------------------------------------------

PAIRS = "it would compare each output with each target, 100 pairs"
BEYOND = "may move within"
# Case: what is done, error, words of the message.
REFUSED = {
    "1, cosine": (
        lambda: ng.cosine_schedule(0.1).attach(torch.optim.AdamW(parameters()), 9),
        ValueError, ["made for SGD", "AdamW", "strict=False"],
    ),
    "1, a model": (
        lambda: ng.cosine_schedule(0.1).attach(nn.Linear(2, 2), 9), TypeError, ["torch.optim", "Linear"]
    ),
    "1, several": (
        lambda: ng.cosine_schedule(0.1).attach([SGD(parameters())], 9), TypeError, ["one at a time", "list"]
    ),
    "2, momentum's bounds": (
        lambda: tuned(optimizer=ng.SGD(momentum=ng.Windows(1, initial=0.5, bounds=(0, 2), transform=None))),
        ValueError, ["momentum", BEYOND, "(0.0, 2.0)", "[0, 1)"],
    ),
    "2, rate's bounds": (
        lambda: tuned(optimizer=ng.SGD(ng.Windows(1, initial=0.1, bounds=(-1, 1), transform=None))),
        ValueError, ["learning_rate", BEYOND, "(-1.0, 1.0)", "narrow `bounds`"],
    ),
    "3, cosine's peak": (lambda: ng.cosine_schedule(-0.1), ValueError, ["learning_rate is -0.1"]),
    "3, cosine's momentum": (lambda: ng.cosine_schedule(0.1, 1.5), ValueError, ["momentum is 1.5"]),
    "3, cosine's decay": (
        lambda: ng.cosine_schedule(0.1, weight_decay=math.nan), ValueError, ["weight_decay is nan"]
    ),
    "3, nothing": (lambda: ng.Schedule.of(), ValueError, ["Schedule.of(learning_rate="]),
    "3, no numbers": (lambda: ng.Schedule.of(momentum=[]), ValueError, ["momentum", "list of numbers", "[]"]),
    "3, text": (lambda: ng.Schedule.of(momentum="0.9"), ValueError, ["list of numbers", "'0.9'"]),
    "4, epochs": (lambda: task().steps_for(math.nan, None), ValueError, ["`epochs`", "nan"]),
    "4, no end": (lambda: task().steps_for(math.inf, None), ValueError, ["`epochs`", "inf"]),
    "5, written out": (
        lambda: column(lambda o, t: (o - t).square().mean()), ng.DataError, [PAIRS, "output.squeeze(-1)"]
    ),
    "5, by operators": (lambda: column(lambda o, t: abs(t - o).mean()), ng.DataError, [PAIRS, "`train`"]),
    "5, a margin": (
        lambda: column(lambda o, t: (1 - o * t.sign()).relu().mean()), ng.DataError, [PAIRS]
    ),
    "5, the other way": (
        lambda: column(
            lambda o, t: (o - t).pow(2).mean(),
            lambda: nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), X[:, :1],
        ),
        ng.DataError, [PAIRS, "targets.squeeze(1)"],
    ),
    "5, in validation": (
        lambda: gradient(
            model=lambda: nn.Linear(4, 1), loss=functional.mse_loss, train=(X, X[:, :1]),
            validation=(X, X[:, 0]), validation_loss=lambda o, t: (o - t).square().mean(),
        ),
        ng.DataError, ["`validation`", "each output with each target"],
    ),
    "11, too many weights": (
        lambda: gradient(
            loss=weighted, hyperparameters={"w": ng.Variable(initial=torch.ones(99))},
            validation_loss=functional.cross_entropy,
        ),
        ng.DataError, ["'w'", "99 entries", "40 examples"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case):
    assert_refused(*REFUSED[case])


def of_two(output, target):
    """Every output with every other, and every target with every other: that is meant."""
    wanted = (target[:, None] - target).sign()
    given = output - output.squeeze(1)
    explicit = output - target[None, :]
    return functional.softplus(-wanted * given).mean() + 0.01 * explicit.square().mean()


ACCEPTED = {
    "a loss of pairs": lambda: column(of_two),
    "columns": lambda: column(lambda o, t: (o - t).square().mean(), targets=X[:, :1]),
    "one number for all": lambda: column(lambda o, t: (o - t.mean()).square().mean()),
    "weights, one each": lambda: gradient(
        loss=weighted,
        hyperparameters={"w": ng.Variable(initial=torch.ones(40))},
        validation_loss=functional.cross_entropy,
    ),
    "to insist": lambda: ng.cosine_schedule(0.1).attach(ADAM(parameters()), 9, strict=False),
    "one's own values": lambda: ng.Schedule.of(learning_rate=0.1).attach(ADAM(parameters()), 9),
    "the same kind": lambda: ng.cosine_schedule(0.1).attach(SGD(parameters(), momentum=0.9), 9),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_is_accepted(case):
    assert ACCEPTED[case]() is not None


SAME, FEW = TensorDataset(X, Y), (X[:5], Y[:5])
NOT_FINITE = torch.where(torch.arange(20)[:, None] == 5, math.nan, BESIDE[0])
WARNED = {
    "2, a rate far away": (
        lambda: ng.SGD(learning_rate=1e6), "learning_rate is fixed at 1e.06, 100000 times the highest"
    ),
    "5, the same, by loaders": (
        lambda: task(train=DataLoader(SAME, 10, shuffle=True), validation=DataLoader(SAME)), "same data"
    ),
    "5, the same tensors": (lambda: task(train=SAME, validation=(X, Y)), "same data"),
    "5, constant numbers": (
        lambda: task(train=(X, X[:, :1] * 0)), "All 40 labels of `train` are 0: there is nothing to tell"
    ),
    "6, five examples": (
        lambda: tuned(task=task(train=FEW, batch_size=5)), "`train` has 5 examples: a schedule that is"
    ),
    "12, in retrain": (
        lambda: ng.retrain(task(validation=(NOT_FINITE, BESIDE[1])), ng.cosine_schedule(0.1), steps=3),
        "`validation` holds NaN or infinity .in the inputs of example 5",
    ),
    "12, in a test": (
        lambda: ng.retrain(task(test=(NOT_FINITE, BESIDE[1])), ng.cosine_schedule(0.1), steps=3),
        "`test` holds NaN or infinity .in the inputs of example 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WARNED)
@pytest.mark.filterwarnings("default")
def test_is_warned_of(case):
    act, words = WARNED[case]
    with pytest.warns(UserWarning, match=words):
        act()


# ---- The command line ------------------------------------------------------------------------------------


def pictures(folder, counts):
    draw = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(draw.integers(0, 255, (8, 8), dtype=np.uint8))
            image.save(folder / name / f"{number}.png")


COMMANDS = {
    "4, batch": (["--batch-size", 100_000], ["batch_size=100000", "160 examples", "at most 160"]),
    "6, one class": (["--data", "one"], ["one class alone, 'cat'", "at least two classes"]),
    "8, budget": (["--budget", 0], ["`budget`", "0.0"]),
    "8, no number": (["--budget", "nan"], ["`budget`", "nan"]),
    "8, timeout": (["--timeout", 0], ["`timeout`", "0.0"]),
    "8, device": (["--device", "banana"], ["'banana'", "cpu"]),
    "8, short": (["--epochs", 1], ["5 coefficients", "1 steps"]),
    "8, epochs": (["--epochs", "nan"], ["`epochs`", "nan"]),
    "14, text": (["--data", "text.npz"], ["text.npz", "holds no archive of arrays", "np.savez"]),
    "14, one image": (
        ["--data", "single"],
        ["no examples for training", "takes 1 of 1", "at least 3"],
    ),
    "14, broken": (["--data", "broken"], ["the image cat/1.png in broken"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_refused_command_leaves_no_study(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked, words = COMMANDS[case]
    pictures(tmp_path / "one", {"cat": 30})
    pictures(tmp_path / "single", {"cat": 1})
    pictures(tmp_path / "broken", {"cat": 4, "dog": 4})
    (tmp_path / "broken" / "cat" / "1.png").write_bytes(b"\x89PNG broken")
    (tmp_path / "text.npz").write_text("not an archive")
    own = [*TINY[:2], *([] if "--data" in asked else TINY[2:4]), "--outer-steps", 2]
    result = run("tune", *own, *asked, "--out", "out")
    assert result.exit_code == 2, result.output
    assert all(word in only_line(result) for word in words), result.stderr
    assert "resume" not in result.output
    assert ng.Study.names("out/study.db") == []


def test_a_second_search_keeps_the_files_of_the_first(tmp_path):
    asked = [*TINY, "--no-compare", "--outer", "paper", "--out", tmp_path]
    assert run("tune", *asked).exit_code == 0
    names = ["history.json", "schedule.json", "schedule.png"]
    first = {name: (tmp_path / name).read_bytes() for name in names}
    result = run("tune", *asked, "--seed", 1)
    assert f"The files of an earlier search are now in {tmp_path}/search-1." in result.output
    assert {name: (tmp_path / "search-1" / name).read_bytes() for name in names} == first
    assert (tmp_path / "schedule.json").read_bytes() != first["schedule.json"]
    again = run("resume", tmp_path / "study.db", "--name", "search-2")  # its own files
    assert again.exit_code == 0 and "earlier search" not in again.output
    page = ng.report(tmp_path / "study.db")  # case 15: the newest, as the command line names it
    assert "search-2" in page.read_text("utf-8")


def test_a_study_writes_nowhere_but_beside_itself_unless_told(tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    asked = [
        *TINY,
        "--no-compare",
        "--outer",
        "paper",
        "--study",
        tmp_path / "study.db",
        "--out",
        out,
    ]
    assert run("tune", *asked).exit_code == 0
    refused = run("resume", tmp_path / "study.db")
    assert refused.exit_code == 2
    assert f"--out {out}" in only_line(refused)
    assert run("resume", tmp_path / "study.db", "--out", other).exit_code == 0
    assert (other / "schedule.json").read_bytes() == (out / "schedule.json").read_bytes()


@pytest.mark.parametrize("name", ["schedule.json", "schedule.png"])
def test_a_full_disk_is_told_with_the_file_and_what_is_kept(name, tmp_path, monkeypatch):
    real = os.replace

    def full(beside, file):
        if str(file).endswith(name):
            raise OSError(28, "No space left on device", str(beside))
        real(beside, file)

    asked = [*TINY, "--no-compare", "--outer", "paper", "--out", tmp_path]
    monkeypatch.setattr("nongreedy.schedules._files.os.replace", full)
    result = run("tune", *asked)
    assert result.exit_code == 1
    words = [name, "No space left", f"kept in {tmp_path}/study.db", "nongreedy resume"]
    assert all(word in only_line(result) for word in words), result.stderr
    monkeypatch.undo()
    assert run("resume", tmp_path / "study.db").exit_code == 0
    assert (tmp_path / name).exists()
    assert not list(tmp_path.glob("*.tmp"))


TWO = """
    import sys, time
    import nongreedy as ng
    time.sleep(max(0.0, float(sys.argv[1]) - time.time()))
    ng.Study("study.db", sys.argv[2]).note("who", sys.argv[2])
"""


def test_two_processes_create_one_database(tmp_path, environment):
    code = [sys.executable, "-c", textwrap.dedent(TWO), str(time.time() + 5)]
    both = [
        subprocess.Popen(
            [*code, name], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        for name in ("a", "b")
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sorted(ng.Study.names(tmp_path / "study.db")) == ["a", "b"]


def test_a_history_says_of_which_study_it_is(tmp_path):
    assert run("tune", *TINY, "--no-compare", "--outer", "paper", "--out", tmp_path).exit_code == 0
    content = json.loads((tmp_path / "history.json").read_text("utf-8"))
    assert content["study"] == {"storage": str(tmp_path / "study.db"), "name": "search-1"}


@pytest.mark.parametrize("words", [["show"], ["trust", "--schedule"]])
def test_a_file_that_is_none_is_named_in_plain_words(words, tmp_path):
    missing = run(*words, tmp_path / "nope.json")
    assert missing.exit_code == 2
    assert only_line(missing).endswith("nope.json': name a file that exists.")
    folder = run(*words, tmp_path)
    assert folder.exit_code == 2
    assert "is a directory. Give the file in it that Schedule.save wrote" in only_line(folder)
