"""What a schedule's names set in a ``torch.optim`` optimizer, ours or a stranger's."""

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.optimizers import Optimizer
from nongreedy.schedules import Default, ScheduleLR

from .helpers import assert_equals_twin, tiny_task


def made(**settings):
    return torch.optim.SGD([{"params": [nn.Parameter(torch.zeros(2))], **settings}], lr=0.1)


def test_what_is_not_known_has_the_same_name_in_the_groups():
    optimizer = made(rho=0.5, radius=torch.tensor(1.0))
    ng.Schedule.of(rho=[0.1, 0.2], radius=0.7).attach(optimizer, 2)
    assert optimizer.param_groups[0]["rho"] == 0.1 and optimizer.param_groups[0]["radius"] == 0.7


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("rate", lambda group: group["rate"]),
        (("pair", 1), lambda group: group["pair"][1]),
        (lambda group, value: group.update(rate=value), lambda group: group["rate"]),
    ],
    ids=["key", "place", "function"],
)
def test_the_caller_says_what_a_name_sets(setting, read):
    optimizer = made(rate=3.0, pair=(1.0, 2.0))
    # Also of a name that is known: the caller knows better.
    for name in ("spread", "momentum"):
        schedule = ng.Schedule.of(**{name: [0.3, 0.4]})
        scheduler = schedule.attach(optimizer, 2, settings={name: setting})
        assert read(optimizer.param_groups[0]) == 0.3
        optimizer.step()
        scheduler.step()
        assert read(optimizer.param_groups[0]) == 0.4
        assert optimizer.param_groups[0]["pair"][0] == 1.0
        assert optimizer.param_groups[0]["momentum"] == 0
        # What it keeps are plain values, and how to set them is the next process' to say.
        assert "settings" not in scheduler.state_dict()
        again = ScheduleLR(optimizer, schedule, 2, settings={name: setting})
        again.load_state_dict(scheduler.state_dict())
        again.move_to(0)
        assert read(optimizer.param_groups[0]) == 0.3


@pytest.mark.parametrize(
    ("groups", "given", "name"),
    [
        ({}, None, "rho"),
        ({"rho": None}, None, "rho"),
        ({"rho": True}, None, "rho"),
        ({"rho": 0.1}, {"rho": "rhoo"}, "rho"),
        ({"rho": 0.1}, {"rho": ("rho", 0)}, "rho"),
        ({}, None, "params"),
    ],
    ids=["absent", "none", "bool", "misspelt", "no_tuple", "params"],
)
def test_what_the_groups_do_not_have_is_refused_with_what_they_have(groups, given, name):
    with pytest.raises(ValueError, match=f"'{name}', which SGD does not have") as caught:
        ng.Schedule.of(**{name: 0.1}).attach(made(**groups), 2, settings=given)
    for word in ("'lr'", "'momentum'", "'weight_decay'", f"settings={{'{name}':", "torch_settings"):
        assert word in str(caught.value)
    assert "'nesterov'" not in str(caught.value)  # no number


def test_a_value_that_only_sounds_like_the_momentum_is_set_as_it_is():
    optimizer = made(momentum_decay=0.5)
    ng.Schedule.of(momentum_decay=[0.0, 0.1]).attach(optimizer, 2)
    assert optimizer.param_groups[0]["momentum_decay"] == 0.0


class Signs(torch.optim.Optimizer):
    """A stranger's twin, which names its settings as it likes."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.0, "pull": (0.0, 1.0), "softness": 0.1})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad + group["pull"][0] * parameter
                move = gradient / (gradient.square() + group["softness"]).sqrt()
                parameter.sub_(group["lr"] * move)


@dataclasses.dataclass(frozen=True)
class SoftSign(Optimizer):
    learning_rate: ng.Windows | float = dataclasses.field(default_factory=ng.Windows)
    attraction: ng.Windows | float = 0.01
    softness: ng.Windows | float = 0.1

    slots: ClassVar[int] = 1
    learnable: ClassVar = {
        "learning_rate": Default(1e-2, (1e-8, 1.0), "log", 1.0),
        "attraction": Default(1e-2, (1e-8, 1.0), "log", 1.0),
        "softness": Default(0.1, (1e-8, 1.0), "log", 1.0),
    }
    torch_settings: ClassVar = {"attraction": ("pull", 0)}

    def update(self, state, gradient, values):
        decayed = self.clip(gradient) + values["attraction"] * state[0]
        move = decayed / (decayed.square() + values["softness"]).sqrt()
        return (state[0] - values["learning_rate"] * move)[None]

    def torch_optimizer(self, parameters):
        return Signs(parameters)


LEARNED = SoftSign(
    ng.Windows(2, initial=(0.02, 0.01)), ng.Constant(initial=0.02), ng.Linear(2, initial=0.2)
)


def test_a_strangers_optimizer_is_retrained_as_it_was_tuned():
    schedule = ng.Schedule.initial(LEARNED.hyperparameters(20))
    assert ng.retrain(tiny_task(), schedule, steps=20, optimizer=LEARNED).validation_loss < 2.0
    with pytest.raises(ValueError, match="'attraction', which Signs does not have"):
        schedule.attach(LEARNED.torch_optimizer([nn.Parameter(torch.zeros(1))]), 20)


@pytest.mark.parametrize("grouped", [False, True])
def test_a_strangers_optimizer_equals_its_twin(grouped):
    own = {"*bias": {"attraction": ng.Constant(initial=0.3)}}
    optimizer = ng.Grouped(LEARNED, own) if grouped else LEARNED
    schedule = ng.Schedule.initial(optimizer.hyperparameters(50))
    assert_equals_twin(optimizer, schedule, relative=1e-11)


def test_a_strangers_optimizer_joins_the_table():
    table = ng.testing.Table(
        {"forward": ng.Forward(), "reverse": ng.Reverse()}, {"mine": LEARNED}, ["mlp"]
    )
    assert {finding.grade.name for finding in table} == {"exact"}
