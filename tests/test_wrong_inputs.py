"""Values of the wrong kind, given to each verb: refused with the value and the way out, without debris."""

import functools

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nongreedy as ng
from nongreedy.errors import nearest_name

from .helpers import assert_refused, classes, tiny_task
from .test_cli import TINY, only_line, run

X, Y = classes(14, (4,), 0)
COSINE = ng.cosine_schedule(0.1)


def tune(**changed):
    return ng.tune(tiny_task(), ng.SGD(), **{"steps": 4, "outer_steps": 1, **changed})


def trust(**changed):
    return ng.trust(tiny_task(), ng.SGD(), steps=4, **changed)


def retrain(schedule, **changed):
    return ng.retrain(tiny_task(), schedule, steps=2, **changed)


def compare(**changed):
    settings = {"steps": 4, "budget": 9, "methods": ["random"], "seeds": 1, **changed}
    return ng.compare(tiny_task(), ng.SGD(), **settings)


def hypergradient(**changed):
    return ng.hypergradient(tiny_task(), ng.SGD(), steps=2, **changed)


def from_loader(model, loss):
    loader = DataLoader(TensorDataset(X, Y), 7)
    return ng.Task.from_loader(model, loss, loader, loader)


# What is done, error, words of the message.
REFUSED = {
    "a seed that is a word": (lambda: tune(seed="a"), ValueError, ["whole number", "'a'"]),
    "a seed that is none": (lambda: trust(seed=None), ValueError, ["64 bits", "None"]),
    "half a seed": (lambda: retrain(COSINE, seed=1.5), ValueError, ["whole number", "1.5"]),
    "a seed whose stream another has": (
        lambda: hypergradient(seed=2**64), ValueError, ["64 bits", str(2**64)]
    ),
    "a seed of a plan": (
        lambda: ng.plan(tiny_task(), ng.SGD(), steps=4, seed="x"), ValueError, ["whole number", "'x'"]
    ),
    "a seed of an online run": (
        lambda: ng.train_online(tiny_task(), ng.SGD(), steps=2, seed=0.5), ValueError, ["0.5"]
    ),
    "epochs as text": (
        lambda: tune(steps=None, epochs="2"), ValueError, ["`epochs`", "finite number", "'2'"]
    ),
    "a function as callback": (
        lambda: tune(callbacks=[print]), TypeError, ["`callbacks`", "print", "Subclass", "on_outer_step"]
    ),
    "a number of ranks": (lambda: tune(ranks=2), TypeError, ["`ranks`", "2", "torchrun"]),
    "one callback": (lambda: tune(callbacks=ng.Callback()), TypeError, ["[Callback(...)]"]),
    "a class as callback": (lambda: tune(callbacks=[ng.Callback]), TypeError, ["an object of that class"]),
    "no callbacks": (lambda: compare(callbacks=None), TypeError, ["`callbacks`", "None"]),
    "a number as study": (lambda: tune(study=123), TypeError, ["`study`", "path", "123"]),
    "a report of a number": (lambda: ng.report(3), TypeError, ["`study`", "3", "tune(..., study=path)"]),
    "a start of another optimizer": (
        lambda: tune(start=ng.Schedule.of(beta1=0.9)), ValueError, ["'beta1'", "does not have"]
    ),
    "trust at a path": (lambda: trust(schedule="s.json"), TypeError, ["'s.json'", "ng.Schedule.load(path)"]),
    "trust at a dictionary": (
        lambda: trust(schedule={"learning_rate": 0.1}), TypeError, ["ng.Schedule.of(learning_rate=0.1)"]
    ),
    "a hypergradient at a path": (lambda: hypergradient(schedule="s.json"), TypeError, ["'s.json'"]),
    "training by a path": (lambda: retrain("s.json"), TypeError, ["'s.json'", "Schedule.load"]),
    "training by nothing": (lambda: retrain(None), TypeError, ["`schedule`", "None"]),
    "a schedule of rows": (
        lambda: ng.Schedule.of(learning_rate=[[1, 2], [3, 4]]), ValueError, ["list of numbers", "[[1, 2]"]
    ),
    "a schedule of truth": (lambda: ng.Schedule.of(momentum=True), ValueError, ["momentum", "True"]),
    "a directory": (
        lambda: ng.Schedule.load("."), ng.ScheduleFileError, ["'.' is a directory", "'schedule.json'"]
    ),
    "a file that is a number": (lambda: ng.Schedule.load(3), TypeError, ["`path`", "3"]),
    "data that are nothing": (lambda: ng.data.load(None), TypeError, ["digits", "None"]),
    "no budget to compare at": (lambda: compare(budget=None), ValueError, ["`budget`", "None", "plain runs"]),
    "a class as model": (
        lambda: tiny_task(model=nn.Linear), TypeError, ["`model`", "in_features", "lambda: torch.nn.Linear"]
    ),
    "a metric's class": (
        lambda: tiny_task(metric=nn.L1Loss), TypeError, ["`metric` is the class L1Loss", "L1Loss()"]
    ),
    "a loss of one keyword more": (
        lambda: tiny_task(loss=lambda output, target, *, weight: None), TypeError,
        ["takes (output, target, *, weight)"],
    ),
    "a model that asks": (lambda: tiny_task(model=lambda width: None), TypeError, ["<lambda> takes (width)"]),
    "model and loss swapped": (
        lambda: from_loader(nn.functional.cross_entropy, nn.Linear(4, 3)), TypeError, ["`model`", "target"]
    ),
    "a loss by name": (lambda: tiny_task(loss="mse"), TypeError, ["`loss`", "(output, target)", "'mse'"]),
    "a loss of the output alone": (
        lambda: tiny_task(loss=lambda output: output.mean()), TypeError,
        ["(output, target)", "takes (output)"],
    ),
    "an augmentation without generator": (
        lambda: tiny_task(augment=lambda x: x), TypeError, ["(inputs, generator)", "takes (x)"]
    ),
    "a number as augmentation": (lambda: tiny_task(augment=3), TypeError, ["`augment`", "3"]),
    "half a preparation": (lambda: tiny_task(prepare=lambda x: x), TypeError, ["(inputs, targets)"]),
    "names without values": (
        lambda: tiny_task(hyperparameters=["w"]), TypeError, ["`hyperparameters`", "dictionary", "['w']"]
    ),
    "something to cite": (lambda: ng.cite("foo"), ValueError, ["cite for 'foo'", "Valid names"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_with_the_value_and_the_way_out(case):
    assert_refused(*REFUSED[case])


def test_functions_of_any_spelling_are_taken():
    def of_hypers(output, target, hypers):
        return nn.functional.cross_entropy(output, target) + hypers["penalty"]

    class Network(nn.Linear):
        def __init__(self, width=3):
            super().__init__(4, width)

    settings = {"hyperparameters": {"penalty": 0.1}, "validation_loss": nn.CrossEntropyLoss()}
    task = tiny_task(
        model=Network, loss=of_hypers, augment=lambda *given: given[0],
        prepare=lambda x, y, hypers: (x, y), forward=lambda network, inputs, **others: network(inputs),
        initialize=lambda parameters, hypers=None: parameters, **settings,
    )  # fmt: skip
    assert ng.hypergradient(task, ng.SGD(), steps=2).value > 0
    searched = tiny_task(
        model=lambda width: nn.Sequential(nn.Linear(4, width), nn.Linear(width, 3)),
        hyperparameters={"width": ng.GradientFree(4, bounds=(2, 8), integer=True)},
    )
    assert ng.hypergradient(searched, ng.SGD(), steps=2).value > 0


def test_a_start_that_cannot_be_kept_is_warned_of():
    with pytest.warns(
        UserWarning, match=r"momentum at 0\.9, but it is fixed at 0\.5 .*ng\.Constant"
    ):
        ng.tune(
            tiny_task(),
            ng.SGD(momentum=0.5, weight_decay=5e-4),
            steps=4,
            outer_steps=1,
            start=COSINE,
        )
    learned = ng.SGD(momentum=ng.Constant(), weight_decay=5e-4)
    found = ng.tune(tiny_task(), learned, steps=4, outer_steps=1, start=COSINE, engine="reverse")
    assert found.schedule["weight_decay"].item() == 5e-4


def test_negative_seeds_have_streams_of_their_own():
    values = {hypergradient(seed=seed, engine="reverse").value for seed in (-1, 0, 1, 2**63 - 1)}
    assert len(values) == 4


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("foo", ""), ("sgd", " Did you mean 'SGD'?"), ("adamm", " Did you mean 'Adam'?"), ("x", "")],
)
def test_only_a_near_name_is_suggested(typed, hint):
    assert (
        nearest_name(typed, ["SGD", "Adam", "botorch"])
        == f"{hint} Valid names: Adam, SGD, botorch."
    )


# ---- The command line ------------------------------------------------------------------------------------

SCRIPTS = {
    "ends.py": "import sys\nsys.exit(3)\n",
    "asks.py": "def task(width):\n    return width\n",
    "broken.py": "def task(:\n",
}
COMMANDS = {
    "a script that ends": (["tune", "ends.py"], ["sys.exit(3)", "__main__"]),
    "a function that asks": (["tune", "asks.py"], ["'width'", "defaults", "asks.py:task(...)"]),
    "no Python": (["trust", "broken.py"], ["invalid syntax (broken.py, line 1)"]),
    "eigenvalues": (["bandit", "--eigenvalues", "1,nan"], ["--eigenvalues", "'1,nan'"]),
    "policies": (["bandit", "--policies", "power,foo"], ["'foo'. Valid names: botorch"]),
    "a seed of many digits": (["tune", *TINY, "--seed", 2**64], ["64 bits", str(2**64)]),
    "no end": (["trust", "--epochs", "inf"], ["`epochs`", "inf"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_is_refused_in_one_line(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(text)
    words, told = COMMANDS[case]
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert all(word in only_line(result) for word in told), result.stderr
    assert ng.Study.names("runs/latest/study.db") == []


@pytest.mark.parametrize("limit", [["--budget", "nan"], ["--timeout", "0"], ["--timeout", "nan"]])
def test_a_refused_resumption_leaves_the_study_as_it_was(limit, tmp_path):
    asked = [*TINY, "--no-compare", "--outer", "paper", "--out", tmp_path]
    assert run("tune", *asked).exit_code == 0
    study = ng.Study(tmp_path / "study.db", "search-1")
    before = study.notes()["command"]
    refused = run("resume", tmp_path / "study.db", *limit)
    assert refused.exit_code == 2 and limit[1] in only_line(refused)
    assert study.notes()["command"] == before
    assert run("resume", tmp_path / "study.db").exit_code == 0


def test_a_tensor_seed_is_no_whole_number():
    with pytest.raises(ValueError, match=r"tensor\(0\)"):
        hypergradient(seed=torch.tensor(0))


def test_a_decorator_may_take_other_arguments_than_what_it_wraps():
    def weighted(output, target, weight):
        return weight * nn.functional.cross_entropy(output, target)

    @functools.wraps(weighted)
    def loss(output, target):
        return weighted(output, target, 2.0)

    judged = {"validation_loss": nn.functional.cross_entropy}
    doubled, plain = (
        ng.hypergradient(tiny_task(**given, **judged), ng.SGD(), steps=4).value
        for given in ({"loss": loss}, {})
    )
    assert doubled != plain
