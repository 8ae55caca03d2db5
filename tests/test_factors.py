"""Factors of groups on common settings: against a plain loop, and in users' own loops."""

import copy

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.optimizers import Scaled
from nongreedy.schedules import Curve

from . import plain_loop
from .helpers import assert_equals_twin, assert_same, tiny_task

STEPS = 6
FACTORS = {"learning_rate": ng.Constant(initial=0.6), "weight_decay": ng.Constant(initial=1.7)}
GROUPS = {"*bias": FACTORS, "0.*": {"learning_rate": ng.Windows(2, initial=(1.3, 0.8))}}
BASES = {
    "sgd": ng.SGD(
        ng.Windows(2, initial=(0.3, 0.2)), momentum=0.5, weight_decay=ng.Constant(initial=0.05)
    ),
    "nesterov": ng.SGD(0.3, momentum=ng.Constant(initial=0.5), weight_decay=0.05, nesterov=True),
    "clipped": ng.SGD(ng.Constant(initial=0.3), weight_decay=0.05, clip_norm=0.6),
    "averaged": ng.SGD(0.3, momentum=0.5, weight_decay=0.05, average=ng.TailAverage(0.4)),
    "schedule_free": ng.ScheduleFreeSGD(ng.Constant(initial=0.3), weight_decay=0.05),
    "schedule_free_average": ng.SGD(
        ng.Constant(initial=0.3), weight_decay=0.05, average=ng.ScheduleFreeAverage(0.8)
    ),
    "adamw": ng.AdamW(ng.Windows(2, initial=(0.03, 0.02)), weight_decay=0.1),
}
ENGINES = [ng.Forward(chunk=3), ng.Reverse("device"), ng.Reverse("checkpoint")]


def plain_loss(values, seed=3):
    """Of ``torch.optim.SGD`` with momentum 0.5, whose groups are set by hand at each step."""
    task = tiny_task("mlp")
    with plain_loop.own_randomness():
        model = plain_loop.network(task, seed)
        named = dict(model.named_parameters())
        bias = [p for name, p in named.items() if name.endswith("bias")]
        first, rest = [named.pop("0.weight")], []
        rest = [p for name, p in named.items() if not name.endswith("bias")]
        groups = [{"params": part} for part in (rest, bias, first)]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.5)
        for step in range(STEPS):
            half = step // (STEPS // 2)
            rate, decay = values["learning_rate"][half], values["weight_decay"][0]
            own = [1.0, values["learning_rate_factor[*bias]"][0]]
            own.append(values["learning_rate_factor[0.*]"][half])
            decays = [1.0, values["weight_decay_factor[*bias]"][0], 1.0]
            for group, factor, other in zip(optimizer.param_groups, own, decays, strict=True):
                group.update(lr=rate * factor, weight_decay=decay * other)
            inputs, targets = task.plan.batch(seed, step, plain_loop.CPU, torch.float64)
            optimizer.zero_grad()
            task.loss(model(inputs), targets).backward()
            optimizer.step()
        return plain_loop.judged(model, set(), task)


def slopes(values):
    found = {}
    for name, row in values.items():
        found[name] = torch.zeros(len(row)).double()
        for j in range(len(row)):
            for offset, weight in plain_loop.STENCIL:
                moved = copy.deepcopy(values)
                moved[name][j] += offset * 1e-4
                found[name][j] += weight * plain_loss(moved) / 1e-4
    return found


@pytest.fixture(scope="module")
def expected():
    values = {
        "learning_rate": [0.3, 0.2], "weight_decay": [0.05],
        "learning_rate_factor[*bias]": [0.6], "weight_decay_factor[*bias]": [1.7],
        "learning_rate_factor[0.*]": [1.3, 0.8],
    }  # fmt: skip
    return plain_loss(values), slopes(values)


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_hypergradients_are_those_of_a_plain_loop(engine, expected):
    optimizer = Scaled(BASES["sgd"], GROUPS)
    found = ng.hypergradient(
        tiny_task("mlp"), optimizer, steps=STEPS, engine=engine, seed=3, dtype=torch.float64
    )
    assert found.value == pytest.approx(expected[0], rel=1e-12)
    assert_same(found.gradients, expected[1], 1e-6)
    assert all(row.abs().min() > 1e-5 for row in expected[1].values())


@pytest.mark.parametrize("base", BASES)
def test_fifty_steps_equal_the_torch_twin(base):
    optimizer = Scaled(BASES[base], GROUPS)
    schedule = ng.Schedule.initial(optimizer.hyperparameters(50))
    assert_equals_twin(optimizer, schedule, relative=1e-11)


def test_the_sum_of_all_factors_slopes_is_that_of_the_common_rate():
    # d J / d log rate, all groups and the rest of them together.
    everything = {"*bias": {"learning_rate": ng.Constant()}, "*": {"learning_rate": ng.Constant()}}
    optimizer = Scaled(ng.SGD(ng.Constant(initial=0.3)), everything)
    found = ng.hypergradient(
        tiny_task("mlp"), optimizer, steps=STEPS, dtype=torch.float64
    ).gradients
    factors = found["learning_rate_factor[*bias]"] + found["learning_rate_factor[*]"]
    torch.testing.assert_close(factors, 0.3 * found["learning_rate"])


def test_factors_of_one_change_nothing_but_may_be_learned():
    base = ng.SGD(ng.Constant(initial=0.3), momentum=0.5)
    scaled = Scaled(base, {"*bias": {"learning_rate": ng.Constant()}})
    values = [
        ng.hypergradient(tiny_task("mlp"), o, steps=STEPS, dtype=torch.float64)
        for o in (base, scaled)
    ]
    assert values[0].value == values[1].value
    row = scaled.hyperparameters()["learning_rate_factor[*bias]"]
    assert (row.transform, row.initial.tolist(), row.outer_step) == ("log", [1.0], 0.1)


def test_a_search_and_a_fresh_training():
    optimizer = Scaled(
        ng.SGD(ng.Constant(initial=0.1)), {"*bias": {"learning_rate": ng.Constant()}}
    )
    result = ng.tune(tiny_task(), optimizer, steps=12, outer_steps=2, outer="agreement")
    assert result.schedule["learning_rate_factor[*bias]"].item() != 1
    ng.retrain(tiny_task(), result.schedule, steps=12, optimizer=optimizer)


def attached(schedule, groups=None, **settings):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    groups = groups or Scaled(BASES["sgd"], GROUPS).torch_groups(model.named_parameters())
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.5)
    return optimizer, schedule.attach(optimizer, 2, **settings)


def scaled_schedule():
    return ng.Schedule.of(
        learning_rate=[0.4, 0.2], weight_decay=0.01,
        **{"learning_rate_factor[*bias]": [0.5, 2.0], "weight_decay_factor[*bias]": 3.0,
           "learning_rate_factor[0.*]": 0.1},
    )  # fmt: skip


def test_attach_multiplies_each_groups_settings_by_its_factor():
    optimizer, scheduler = attached(scaled_schedule())
    read = {
        group["group"]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups
    }
    assert read == {
        "": (0.4, 0.01), "*bias": (0.2, pytest.approx(0.03)), "0.*": (pytest.approx(0.04), 0.01)
    }  # fmt: skip
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.4, pytest.approx(0.02)]


def test_a_factor_without_its_group_or_its_setting_is_refused():
    with pytest.raises(ValueError, match=r"'learning_rate_factor\[\*bias\]'.*torch_groups"):
        attached(scaled_schedule(), [nn.Parameter(torch.zeros(2))])
    curves = dict(scaled_schedule().curves)
    del curves["learning_rate"]
    with pytest.raises(ValueError, match="learning_rate_factor"):
        attached(ng.Schedule(curves))
    negative = Curve(ng.Constant(), -torch.ones(1).double())
    with pytest.raises(ValueError, match="at least 0"):
        attached(ng.Schedule({**scaled_schedule().curves, "learning_rate_factor[*bias]": negative}))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Scaled(ng.SGD(), {"*": {}}), "has no factors"),
        (lambda: Scaled(ng.SGD(), {"*": {"momentum": 1.0}}), "may scale learning_rate, weight_decay"),
        (lambda: Scaled(ng.Muon(), {"*": {"learning_rate": 1.0}}), "Muon cannot be scaled"),
        (lambda: Scaled(ng.SGD(), {}, clip_norm=1.0), "Clipping is over all groups"),
        (lambda: Scaled(ng.SGD(), {"*": {"learning_rate": -1.0}}), "at least 0"),
        (lambda: ng.Grouped(Scaled(ng.SGD()), {"*": {"momentum": 0.1}}), "cannot be grouped"),
        (
            lambda: ng.Run(tiny_task(), Scaled(ng.SGD(), {"head*": {"learning_rate": 2.0}}), 3),
            "No parameter is in the group 'head",
        ),
    ],
)  # fmt: skip
def test_bad_factors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
