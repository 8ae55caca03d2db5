"""Every mistake is refused at once, by a message that quotes the value and shows the way out."""

import json
import math
import re
import threading

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.schedules import Curve
from nongreedy.search.rules import outer_from

from .helpers import classes, tiny_task

X, Y = classes(14, (4,), 0)


def hypergradient(**changed):
    settings = {"steps": 6, **changed}
    return ng.hypergradient(settings.pop("task", None) or tiny_task(), ng.SGD(), **settings)


def tune(**changed):
    return ng.tune(tiny_task(), ng.SGD(), **{"steps": 6, **changed})


def learning(basis, **changed):
    return ng.hypergradient(tiny_task(), ng.SGD(learning_rate=basis), **{"steps": 6, **changed})


# (what is done, error, words of the message: the value, then the way out)
MISTAKES = {
    # Schedules that do not fit the run.
    "too_many_windows": (
        lambda: learning(ng.Windows(7)), ValueError, ["7 coefficients", "6 steps", "at most 6"]
    ),
    "too_many_knots": (lambda: learning(ng.Linear(9)), ValueError, ["9 coefficients", "train longer"]),
    "no_windows": (lambda: ng.Windows(0), ValueError, ["windows", "0", "at least 1"]),
    "half_a_window": (lambda: ng.Windows(2.5), ValueError, ["2.5", "whole number"]),
    "one_knot": (lambda: ng.Linear(1), ValueError, ["1", "at least 2"]),
    "initial_count": (
        lambda: learning(ng.Windows(3, initial=(0.1, 0.2))),
        ValueError, ["2 initial values", "3 coefficients", "one per coefficient"],
    ),
    "initial_count_per_step": (
        lambda: learning(ng.PerStep(initial=[0.1] * 5)), ValueError, ["5 initial", "6 coefficients"]
    ),
    # Bounds and coordinates.
    "bounds_order": (
        lambda: ng.SGD(ng.Windows(1, bounds=(0.5, 0.1))), ValueError, ["(0.5, 0.1)", "less than the upper"]
    ),
    "bounds_nan": (lambda: ng.SGD(ng.Windows(1, bounds=(math.nan, 1))), ValueError, ["nan", "less than"]),
    "outside_bounds": (
        lambda: ng.SGD(ng.Windows(1, initial=20.0)), ValueError, ["starts at 20", "10.0", "widen `bounds`"]
    ),
    "initial_nan": (lambda: ng.SGD(ng.Windows(1, initial=math.nan)), ValueError, ["starts at nan"]),
    "log_of_zero": (
        lambda: ng.SGD(ng.Windows(1, bounds=(0.0, 1.0))).hyperparameters(),
        ValueError, ["(0.0, 1.0)", "'log'", "transform=None"],
    ),
    "log1m_of_one": (
        lambda: ng.SGD(momentum=ng.Windows(1, bounds=(0.0, 1.0))).hyperparameters(),
        ValueError, ["'log1m'", "Narrow"],
    ),
    "logit_of_zero": (
        lambda: ng.SGD(momentum=ng.Windows(1, bounds=(0.0, 0.9), transform="logit")),
        ValueError, ["(0.0, 0.9)", "'logit'", "Narrow"],
    ),
    "logit_of_one": (
        lambda: ng.SGD(momentum=ng.Windows(1, initial=0.5, bounds=(0.1, 1.0), transform="logit")),
        ValueError, ["(0.1, 1.0)", "'logit'", "Narrow"],
    ),
    "transform_name": (
        lambda: ng.SGD(ng.Windows(1, transform="logg")), ValueError, ["'logg'", "Did you mean 'log'"]
    ),
    "outer_step": (lambda: ng.SGD(ng.Windows(1, outer_step=-1)), ValueError, ["-1.0", "positive"]),
    "not_a_number": (lambda: ng.SGD("0.1"), ValueError, ["'0.1'", "Windows(4)"]),
    "nan_setting": (lambda: ng.SGD(momentum=math.nan), ValueError, ["momentum", "nan"]),
    "clip_value": (lambda: ng.SGD(clip_value=0.0), ValueError, ["`clip_value`", "0.0", "positive or None"]),
    "clip_norm": (lambda: ng.SGD(clip_norm=-2), ValueError, ["`clip_norm`", "-2"]),
    # Data.
    "batch_too_large": (lambda: tiny_task(batch_size=15), ng.DataError, ["15", "14 examples", "at most 14"]),
    "batch_zero": (lambda: tiny_task(batch_size=0), ValueError, ["`batch_size`", "0", "at least 1"]),
    "empty": (lambda: tiny_task(train=(X[:0], Y[:0])), ng.DataError, ["`train`", "empty"]),
    "empty_validation": (lambda: tiny_task(validation=(X[:0], Y[:0])), ng.DataError, ["`validation`"]),
    "mismatched": (lambda: tiny_task(train=(X, Y[:-1])), ng.DataError, ["14 inputs", "13 targets"]),
    "not_tensors": (lambda: tiny_task(train=(X.numpy(), Y)), ng.DataError, ["ndarray", "as_tensor"]),
    "not_data": (lambda: tiny_task(train=3), ng.DataError, ["int", "map-style Dataset"]),
    "fraction": (lambda: tiny_task(validation=0.01), ng.DataError, ["0.01", "14", "between 0 and 1"]),
    "not_pairs": (lambda: tiny_task(train=[x for x in X]), ng.DataError, ["Tensor", "(input, target)"]),
    "ragged": (
        lambda: tiny_task(train=[(X[i, : 1 + i % 2], Y[i]) for i in range(14)]).plan.batch(
            0, 0, torch.device("cpu"), torch.float32
        ),
        ng.DataError, ["`train`", "same shape"],
    ),
    # Names.
    "engine": (lambda: hypergradient(engine="revers"), ValueError, ["'revers'", "Did you mean 'reverse'"]),
    "store": (lambda: ng.Reverse("dsk"), ValueError, ["'dsk'", "Did you mean 'disk'"]),
    "engine_store": (
        lambda: hypergradient(engine="reverse:chekpoint"), ValueError, ["Did you mean 'checkpoint'"]
    ),
    "engine_no_store": (lambda: hypergradient(engine="forward:disk"), ValueError, ["'forward:disk'"]),
    "outer": (lambda: tune(outer="papper"), ValueError, ["'papper'", "Did you mean 'paper'"]),
    "device": (lambda: tiny_task(device="cpi"), ValueError, ["'cpi'", "Did you mean 'cpu'"]),
    # Engines.
    "chunk": (lambda: ng.Forward(chunk=0), ValueError, ["0", "at least 1 or None"]),
    "order": (lambda: ng.FiniteDifference(order=3), ValueError, ["[2, 4]", "3"]),
    "difference": (lambda: ng.FiniteDifference(step=0.0), ValueError, ["0.0", "positive"]),
    "not_kept": (
        lambda: ng.Reverse().differentiate(
            ng.Reverse().rollout(ng.Run(tiny_task(), ng.SGD(), 2), ng.cosine_schedule(0.1)), []
        ),
        ValueError, ["keep=True"],
    ),
    # Lengths and counts.
    "epochs_and_steps": (lambda: hypergradient(epochs=1), ValueError, ["epochs=1", "steps=6", "either"]),
    "neither": (lambda: hypergradient(steps=None), ValueError, ["epochs=None", "steps=None"]),
    "no_steps": (lambda: hypergradient(steps=0), ValueError, ["`steps`", "0", "at least one"]),
    "short_epoch": (lambda: hypergradient(steps=None, epochs=0.1), ValueError, ["epochs=0.1"]),
    "half_steps": (lambda: hypergradient(steps=2.5), ValueError, ["`steps`", "2.5", "whole number"]),
    "outer_steps": (lambda: tune(outer_steps=0), ValueError, ["`outer_steps`", "0", "at least 1"]),
    "budget": (lambda: tune(budget=0.5), ValueError, ["0.5", "at least one plain run"]),
    "nothing_to_learn": (
        lambda: ng.tune(tiny_task(), ng.SGD(learning_rate=0.1), steps=6), ValueError, ["fixed", "0.1"]
    ),
    "nothing_to_differentiate": (lambda: learning(0.1), ValueError, ["fixed", "0.1"]),
    "total_steps": (lambda: ng.cosine_schedule(0.1).values(0), ValueError, ["`total_steps`", "0"]),
    # Models and losses.
    "no_model": (lambda: tiny_task(model=3), TypeError, ["`model`", "nn.Module", "got 3"]),
    "model_of_what": (
        lambda: hypergradient(task=tiny_task(model=lambda: 3)), TypeError, ["int", "nn.Module"]
    ),
    "nothing_to_train": (
        lambda: hypergradient(task=tiny_task(model=lambda: nn.Linear(4, 3).requires_grad_(False))),
        ValueError, ["nothing to train"],
    ),
    "loss_per_example": (
        lambda: hypergradient(task=tiny_task(loss=nn.CrossEntropyLoss(reduction="none"))),
        ValueError, ["shape (6,)", ".mean()"],
    ),
    "loss_number": (
        lambda: hypergradient(task=tiny_task(loss=lambda out, target: 1.0)),
        ValueError, ["float", "scalar tensor"],
    ),
    "constant_buffer_name": (
        lambda: hypergradient(task=tiny_task(constant_buffers=["u"])), ValueError, ["'u'", "[]"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_explained(name):
    act, error, words = MISTAKES[name]
    with pytest.raises(error) as caught:
        act()
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.rstrip().endswith((".", ")", "]")), message  # a sentence, not a fragment


def test_valid_names_are_accepted():
    for engine in (
        "auto",
        "forward",
        "reverse",
        "reverse:disk",
        "finite_difference",
        ng.Forward(chunk=1),
    ):
        hypergradient(engine=engine)
    assert isinstance(outer_from("paper"), ng.SignDescent)
    assert outer_from("auto") == outer_from("default") == ng.ModelSearch()
    assert outer_from("agreement") == ng.AgreementSearch()


# ---- Divergence ---------------------------------------------------------------------------------


def squares(output, target):
    return output.square().mean()


@pytest.mark.parametrize("engine", [ng.Forward(), ng.Reverse(), ng.FiniteDifference()], ids=repr)
def test_divergence_names_quantity_and_step(engine):
    fast = ng.Schedule.of(learning_rate=1e20, momentum=0.0, weight_decay=0.0)
    message = r"became non-finite at step \d of 6.* learning rate"
    with pytest.raises(ng.DivergedError, match=message) as caught:
        hypergradient(task=tiny_task(loss=squares), schedule=fast, engine=engine)
    assert caught.value.steps == 6 and 0 < caught.value.step <= 6


@pytest.mark.parametrize("outer", ["auto", "paper"])
@pytest.mark.parametrize("name", ["train", "validation"])
def test_data_that_are_not_finite_are_named(name, outer):
    task = tiny_task(**{name: (X / 0, Y)})
    with pytest.raises(
        ng.DataError, match=rf"`{name}` holds NaN or infinity .*inputs of example [0-5]"
    ):
        ng.tune(task, ng.SGD(), steps=6, outer=outer)


def test_a_loss_that_is_not_finite_at_once_points_to_the_data_and_the_weights():
    task = tiny_task(loss=lambda output, target: output.square().mean() / 0)
    with pytest.raises(ng.DivergedError, match=r"training loss .* step 0 of 6.*data.*weights"):
        hypergradient(task=task)


# ---- Buffers that a forward pass changes --------------------------------------------------------


class Counting(nn.Module):
    """Scales its output by a statistic that it updates: in place, or by binding a new tensor."""

    def __init__(self, in_place):
        super().__init__()
        self.inner, self.in_place = nn.Linear(4, 3), in_place
        self.register_buffer("level", torch.ones(1))

    def forward(self, inputs):
        if self.in_place:
            self.level += 0.1
        else:
            self.level = self.level + 0.1
        return self.inner(inputs) * self.level


def spectral():
    return nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3)
    )


CHANGING = {
    "in_place": (lambda: Counting(True), ["level"]),
    "bound_anew": (lambda: Counting(False), ["level"]),
    "spectral_norm": (spectral, [f"0.parametrizations.weight.0._{v}" for v in "uv"]),
}


@pytest.mark.parametrize("engine", [ng.Forward(), ng.Reverse("checkpoint")], ids=repr)
@pytest.mark.parametrize("case", CHANGING)
def test_a_changing_buffer_is_refused_by_name_or_held_constant(case, engine):
    model, names = CHANGING[case]
    settings = {"engine": engine, "dtype": torch.float64}
    with pytest.raises(ValueError, match=f"{re.escape(names[0])}.*constant_buffers"):
        hypergradient(task=tiny_task(model=model), **settings)
    with pytest.raises(
        ng.VerificationError, match=r"constant_buffers .*which plain training changes"
    ):
        hypergradient(task=tiny_task(model=model, constant_buffers=names), **settings)
    constant = tiny_task(model=model, constant_buffers=names, verify=False)
    found = hypergradient(task=constant, **settings).gradients["learning_rate"]
    judge = hypergradient(task=constant, **{**settings, "engine": ng.FiniteDifference(order=4)})
    torch.testing.assert_close(found, judge.gradients["learning_rate"], rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize(
    "layer", [nn.LazyLinear(3), nn.LazyBatchNorm1d()], ids=["weight", "buffer"]
)
def test_a_network_without_shapes_is_refused(layer):
    for model in (layer, lambda: layer):
        with pytest.raises(ValueError, match=r"lazy module.*once with a batch"):
            hypergradient(task=tiny_task(model=model))


def test_a_network_without_numbers_is_refused():
    with pytest.raises(ValueError, match=r"'weight' of the model is on the meta device"):
        hypergradient(task=tiny_task(model=lambda: nn.Linear(4, 2, device="meta")))


def test_a_network_that_cannot_be_copied_is_refused():
    locked = nn.Linear(4, 2)
    locked.lock = threading.Lock()
    for model, why in ((locked, "cannot pickle"), (torch.jit.script(nn.Linear(4, 2)), "scripted")):
        with pytest.raises(ValueError, match=rf"cannot be copied.*{why}.*model=make_model"):
            hypergradient(task=tiny_task(model=model))


def test_a_buffer_that_a_forward_pass_takes_away_is_named():
    class Forgetful(nn.Linear):
        def forward(self, inputs):
            self._buffers.pop("seen", None)
            return super().forward(inputs)

    def model():
        made = Forgetful(4, 3)
        made.register_buffer("seen", torch.ones(1))
        return made

    with pytest.raises(ValueError, match="forward pass changes its buffer 'seen'"):
        hypergradient(task=tiny_task(model=model))


def test_constant_buffers_do_not_need_to_change():
    class Scaled(Counting):
        def forward(self, inputs):
            return self.inner(inputs) * self.level

    for names in ((), ("level",)):
        hypergradient(task=tiny_task(model=lambda: Scaled(True), constant_buffers=names))


# ---- Files and attachment -----------------------------------------------------------------------

GOOD = ng.Schedule.of(learning_rate=[0.1, 0.2]).to_json()


def file_with(tmp_path, content):
    path = tmp_path / "schedule.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def row(**changed):
    curve = {"basis": "windows", "coefficients": [1.0], **changed}
    return {**GOOD, "hyperparameters": {"learning_rate": curve}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("learning_rate: 0.1", ["not JSON", "Schedule.save"]),
        ("", ["not JSON"]),
        ("[1, 2]", ["not a schedule", "list"]),
        ({"format": "other"}, ["'other'", "nongreedy.schedule"]),
        ({**GOOD, "version": 99}, ["99", "version 1", "Install"]),
        ({**GOOD, "hyperparameters": {}}, ["no hyperparameters"]),
        (row(coefficients=[math.nan]), ["nan", "finite"]),
        (row(coefficients=[math.inf]), ["inf", "finite"]),
        (json.dumps(row()).replace("1.0", "1" + "0" * 400), ["learning_rate", "finite"]),
        (row(coefficients=[]), ["[]", "finite"]),
        (row(coefficients=["0.1"]), ["'0.1'"]),
        (row(coefficients=[True]), ["True"]),
        (row(basis="spline"), ["'spline'", "'windows'"]),
        (row(basis="constant", coefficients=[1.0, 2.0]), ["'constant'", "[1.0, 2.0]"]),
        (row(basis="linear"), ["knots", "1"]),
        ({**GOOD, "hyperparameters": {"learning_rate": 3}}, ["learning_rate", "None"]),
    ],
)
def test_a_bad_schedule_file_is_explained(tmp_path, content, words):
    path = file_with(tmp_path, content)
    with pytest.raises(ng.ScheduleFileError) as caught:
        ng.Schedule.load(path)
    assert all(word in str(caught.value) for word in [str(path), *words]), caught.value


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00\x9c")
    with pytest.raises(ng.ScheduleFileError, match="not JSON"):
        ng.Schedule.load(tmp_path / "x")
    with pytest.raises(FileNotFoundError, match="absent"):
        ng.Schedule.load(tmp_path / "absent")


@pytest.mark.parametrize("place", ["missing/schedule.json", "directory"])
def test_saving_where_it_cannot_be_saved(tmp_path, place):
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError, match=f"{re.escape(str(tmp_path / place))}.*existing directory"):
        ng.cosine_schedule(0.1).save(tmp_path / place)
    assert [path.name for path in tmp_path.rglob("*")] == ["directory"]  # nothing is left behind


def test_nan_is_never_saved(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        # Not by `of`, which refuses it.
        curve = Curve(ng.Windows(1), torch.tensor([math.nan]))
        ng.Schedule({"learning_rate": curve}).save(tmp_path / "schedule.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("optimizer", "schedule", "words"),
    [
        (
            torch.optim.Adagrad,
            ng.Schedule.of(momentum=0.9),
            ["'momentum'", "Adagrad", "torch.optim.SGD"],
        ),
        (torch.optim.Rprop, ng.Schedule.of(weight_decay=0.1), ["'weight_decay'", "Rprop"]),
        (torch.optim.SGD, ng.Schedule.of(temperature=0.1), ["'temperature'", "SGD"]),
    ],
)
def test_attaching_to_an_optimizer_without_the_setting(optimizer, schedule, words):
    made = optimizer(nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="does not have") as caught:
        schedule.attach(made, 10)
    assert all(word in str(caught.value) for word in words)
    assert made.param_groups[0]["lr"] == 0.1  # untouched


def test_attaching_for_no_steps():
    sgd = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    with pytest.raises(ValueError, match=r"`total_steps`.*0"):
        ng.cosine_schedule(0.1).attach(sgd, 0)
