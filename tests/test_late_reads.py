"""Losses are looked at some steps late: what fails is named by its own step all the same."""

import math

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.engines import Device, Gaussian, Graphs, Runner, _readings
from nongreedy.testing import tiny_task

SGD = ng.SGD(momentum=0.0, weight_decay=0.0)


class Failing(nn.Module):
    """Its output is NaN from some step on, and what is given NaN weights raises."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3))

    def forward(self, inputs):
        if not self.weight.isfinite().all():
            raise RuntimeError("a decomposition of NaN")
        return inputs.to(self.weight.dtype) @ self.weight


def spoiled(step, model=Failing, **changed):
    """A run whose loss is not finite at one step, and whose weights are not from the next one on."""

    def loss(output, target, hypers):
        right = nn.functional.cross_entropy(output, target)
        return right * math.nan if hypers.step == step else right

    task = tiny_task(model=model, loss=loss, validation_loss=nn.functional.cross_entropy, **changed)
    return ng.Run(task, SGD, 60), ng.Schedule.of(learning_rate=0.1, momentum=0.0, weight_decay=0.0)


@pytest.mark.parametrize("step", [0, 1, 4, 5, 23, 59])
@pytest.mark.parametrize("store", [None, Device(), Graphs(), Graphs(7)], ids=repr)
def test_the_step_that_is_not_finite_is_named(step, store):
    run, schedule = spoiled(step)
    engine = Runner() if store is None else ng.Reverse(store)
    with pytest.raises(
        ng.DivergedError, match=f"training loss became non-finite at step {step} of 60"
    ):
        engine.rollout(run, schedule, keep=store is not None)


ALONG = [
    ng.Greedy(), ng.Greedy(every=4), ng.Greedy(mu=0.9), ng.EvoGrad(), ng.EvoGrad(order="before", every=3),
    ng.EvoGrad(Gaussian(sigma=0.1), relative=True), ng.Reversible(), ng.Reversible(verify=False),
]  # fmt: skip


def failing(step, how):
    """The loss is not finite at a step, or its gradient is not, or its derivative by a hyperparameter."""

    def loss(output, target, hypers):
        own = hypers["own"] * output.square().mean()
        right = nn.functional.cross_entropy(output, target) + own
        spoil = {
            "loss": lambda: right * math.nan,
            "gradient": lambda: right + (output * 0).sum().abs().sqrt(),
            "derivative": lambda: right + output.square().mean() * (hypers["own"] * 0).sqrt(),
            "far": lambda: right * 1e12,
        }
        return spoil[how]() if hypers.step == step else right

    task = tiny_task(
        model=Failing, loss=loss, validation_loss=nn.functional.cross_entropy, verify=False,
        hyperparameters={"own": ng.Constant(initial=0.1)},
    )  # fmt: skip
    return ng.Problem(task, ng.SGD(0.1, momentum=0.5, weight_decay=0.0), 24)


@pytest.mark.parametrize("step", [0, 7, 23])
@pytest.mark.parametrize("how", ["loss", "gradient", "derivative", "far"])
@pytest.mark.parametrize("engine", ALONG, ids=repr)
def test_what_is_told_late_is_what_would_be_told_at_once(monkeypatch, engine, how, step):
    told = []
    for most in (256, 1):
        monkeypatch.setattr(_readings, "_MOST", most)
        one = failing(step, how)
        try:
            found = engine.hypergradient(one.run(), one.initial, ["own"])
            told.append((found.value, found.gradients["own"].item()))
        except (ng.DivergedError, RuntimeError, ValueError) as error:
            told.append((type(error), str(error), getattr(error, "step", None)))
    assert told[0] == told[1]


@pytest.mark.parametrize("step", [0, 1, 4, 5, 23, 59])
def test_steps_that_were_taken_in_vain_are_counted(monkeypatch, step):
    monkeypatch.setattr(_readings, "_LONG", math.inf)
    (run, schedule), taken = spoiled(step, lambda: nn.Linear(4, 3)), []
    with pytest.raises(ng.DivergedError) as caught:
        Runner().rollout(run, schedule, on_step=taken.append)
    assert caught.value.share == min(len(taken) + 1, 60) / 61


@pytest.mark.parametrize("engine", [ng.Reverse("device"), ng.Forward()])
def test_so_are_those_of_a_sweep(monkeypatch, engine):
    monkeypatch.setattr(_readings, "_LONG", math.inf)
    one, taken = failing(7, "derivative"), []
    with pytest.raises(ng.DivergedError) as caught:
        kept = engine.rollout(run := one.run(), one.initial, keep=True)
        engine.differentiate(kept, ["own"], taken.append)
    assert caught.value.late > 0
    assert caught.value.swept == pytest.approx((len(taken) + 1) / (run.steps + 1))


def test_what_fails_without_a_loss_that_is_not_finite_is_raised_as_it_is():
    run, schedule = spoiled(60)
    with pytest.raises(KeyError, match="stop"):
        Runner().rollout(run, schedule, on_state=lambda t, state: {}["stop"] if t == 30 else None)


def test_numbers_are_judged_in_their_order_some_steps_late(monkeypatch):
    monkeypatch.setattr(_readings, "_LONG", math.inf)
    told, when = [], []

    def judge(step, numbers):
        told.append((step, *numbers))
        when.append(count)

    readings = _readings.Readings()
    for count in range(100):
        # Of several precisions: none is rounded to that of the first.
        numbers = [torch.tensor(float(count)), torch.tensor(1e200, dtype=torch.float64)]
        readings.add(count, numbers, judge)
    readings.read()
    assert told == [(step, step, 1e200) for step in range(100)]
    assert sorted(set(when)) == [0, 4, 20, 84, 99]


def test_half_a_second_is_long_enough(monkeypatch):
    clock, told = [0.0], []
    monkeypatch.setattr(_readings.time, "monotonic", lambda: clock[0])
    readings = _readings.Readings()
    for step in range(10):
        clock[0] += 0.3
        readings.add(step, [torch.zeros(())], lambda step, numbers: told.append(step))
    assert told == [0, *range(1, 9)]
