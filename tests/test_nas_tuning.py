"""Settings of a search by hypergradients: exact, refused where there are none, taken by a search."""

import copy
import functools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nongreedy as ng
from nongreedy import nas
from nongreedy.engines import Problem
from nongreedy.nas._data import Data
from nongreedy.nas._relaxed import PRICE, RATE, STRIDE, TEMPERATURE, Relaxed, search_task

from .test_nas_search import data, middle, small

STEPS, PENALTY = 6, 10.0
AT = {RATE: 4e-3, STRIDE: 0.2, PRICE: 0.3, TEMPERATURE: 1.0}


@functools.cache
def problem(warm_up, explore, steps=STEPS, batch=48, verify=False):
    """Smooth activations and no dropout, so that finite differences mean something."""
    net = small(activation=nn.SiLU, dropout=0.0, squeezes=(False, True))
    table = nas.parameters(net)
    level = nas.Validated(warm_up=warm_up, explore=explore)
    learn, held = (Data.of(data(48, seed), "data") for seed in (0, 1))
    task, optimizer = search_task(
        copy.deepcopy(net), learn, held, table, middle(table), nas.Recipe(steps, batch), level, steps,
        AT[PRICE], PENALTY,
    )  # fmt: skip
    task.verify = verify  # by one test; it takes longer than the rest
    problem = Problem.of(task, optimizer, steps=steps, dtype=torch.float64)
    return problem, net, table, level


def plain_loop(net, table, values):
    """The relaxed search with torch's own optimizers: its loss at the end."""
    net, target = copy.deepcopy(net).double().train(), middle(table)
    (x, y), (hx, hy) = ((a.double(), b) for a, b in (data(48, 0), data(48, 1)))
    gating, loss = net.gating, functools.partial(F.cross_entropy, label_smoothing=0.1)
    weights = torch.optim.AdamW(net.weights(), values[RATE], weight_decay=0.02)
    thresholds = torch.optim.Adam(net.thresholds(), values[STRIDE])

    def pulled(total, parameters):
        for p, g in zip(parameters, torch.autograd.grad(total, parameters), strict=True):
            p.grad = g

    factors = [1.0, *(0.5 * (1 + math.cos(math.pi * k / 5)) for k in range(5))]
    for step in range(STEPS):
        gating.progress, gating.step = (
            step / STEPS,
            lambda v: torch.sigmoid(v / values[TEMPERATURE]),
        )
        weights.param_groups[0]["lr"] = values[RATE] * factors[step]
        gating.bits = [row.detach() for row in gating.refresh(net.blocks)]
        pulled(loss(net.network(x), y), net.weights())
        with_bits = loss(net(hx), hy)
        cost = (table.expected(gating.bits) / target).log()
        pulled(with_bits + values[PRICE] * cost, net.thresholds())
        weights.step()
        thresholds.step()
    gating.progress, gating.step = 1.0, torch.sigmoid
    with torch.no_grad():
        found = loss(net(hx), hy)
        excess = (table.expected(gating.bits) / target).log().clamp(min=0)
    return float(found + PENALTY * excess**2)


def test_hypergradients_are_those_of_a_plain_loop():
    setup, net, table, _ = problem(warm_up=0.0, explore=0.0)
    found = ng.Reverse().hypergradient(setup.run(0), setup.at(None), list(AT))
    assert found.value == pytest.approx(plain_loop(net, table, AT), abs=1e-12)
    for name, value in AT.items():
        sides = [plain_loop(net, table, {**AT, name: value * f}) for f in (1 + 1e-6, 1 - 1e-6)]
        difference = (sides[0] - sides[1]) / (2e-6 * value)
        assert abs(difference) > 1e-6, name
        assert found.gradients[name].item() == pytest.approx(difference, rel=1e-5, abs=1e-9), name


def test_they_are_exact_through_warm_up_and_random_architectures_too():
    setup, *_ = problem(warm_up=0.5, explore=0.5, steps=8, batch=16)
    exact = ng.Reverse().hypergradient(setup.run(3), setup.at(None), list(AT))
    near = ng.FiniteDifference().hypergradient(setup.run(3), setup.at(None), list(AT))
    for name in AT:
        wanted = near.gradients[name].item()
        assert exact.gradients[name].item() == pytest.approx(wanted, rel=1e-3, abs=1e-7), name


def test_the_task_passes_verification_in_full():
    setup, *_ = problem(warm_up=0.5, explore=0.5, steps=4, batch=16, verify=True)
    assert "not verified" not in setup.verification.summary and len(setup.verification.checks) > 5


def test_at_a_low_temperature_it_is_the_search_itself():
    net, x = small(dropout=0.0), data()[0]
    table = nas.parameters(net)
    with torch.no_grad():
        for block in net.blocks:
            block.thresholds += torch.linspace(-0.3, 2.0, len(block.thresholds))
        net.gating.progress = 1.0
        hard, bits = net(x), net.gating.bits
        relaxed = Relaxed(copy.deepcopy(net), table, middle(table), nas.Recipe())
        soft, cost = relaxed(x, 1.0, 1e-4)
    assert 0 < sum(float(row.sum()) for row in bits) < sum(map(len, bits))  # some open, some closed
    assert torch.allclose(soft, hard, atol=1e-5)
    assert cost[0].exp() * middle(table) == pytest.approx(table.total(net.architecture()), rel=1e-5)


@functools.cache
def tuned():
    net = small()
    recipe = nas.Recipe(24, 16)
    learn, held = data(64, 0), data(48, 1)
    table = nas.parameters(net)
    before = {name: each.clone() for name, each in net.state_dict().items()}
    found = nas.tune_search(
        net, learn, held, target=middle(table), table=table, steps=8, recipe=recipe, budget=14,
        progress=False,
    )  # fmt: skip
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    return found, net, table


def test_what_is_tuned_is_what_a_search_takes():
    found, net, table = tuned()
    schedule, gate = found.result.schedule, found.gate
    assert found.level.threshold_rate == pytest.approx(float(schedule[STRIDE]) * 8 / 24)
    assert found.level.first_price == pytest.approx(float(schedule[PRICE]))
    assert gate.first / gate.last == pytest.approx(10)
    made = found.recipe.optimizer(net.weights()).param_groups[0]
    assert made["lr"] == pytest.approx(float(schedule[RATE])) and made["weight_decay"] == 0.02
    assert (found.recipe.steps, found.recipe.batch_size) == (24, 16)
    assert found.result.cost <= 15
    moved = [name for name, value in AT.items() if float(schedule[name]) != pytest.approx(value)]
    assert moved, "nothing was tuned"
    net = small(gate=gate)
    again = nas.search(
        net, data(64, 0), data(48, 1), target=middle(table), table=table, level=found.level,
        recipe=found.recipe,
    )  # fmt: skip
    assert again.predicted <= middle(table)
    assert again.history[0][3] == pytest.approx(found.level.first_price, abs=0.5)
    assert "learning rate" in str(found) and "temperature" in str(found)


def test_the_price_begins_where_it_is_told():
    assert nas.Validated(first_price=0.7).price(5.0, 100).value == 0.7
    assert nas.Validated().price(5.0, 100).value == 0.0
    with pytest.raises(ValueError, match="first_price"):
        nas.Validated(first_price=-1.0)


sgd = functools.partial(torch.optim.SGD, lr=0.1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"level": nas.Joint()}, "Joint cannot be tuned by hypergradients: its gates are steps"),
        ({"gate": nas.PaperGate()}, "PaperGate has no temperature"),
        ({"recipe": nas.Recipe(4, optimizer=sgd)}, "SGD"),
        (
            {"recipe": nas.Recipe(4, schedule=ng.Schedule.of(learning_rate=0.1))},
            "schedule of its own",
        ),
        ({"target": 1.0}, "the cheapest takes"),
        ({"first_price": 0.0}, "first_price"),
        ({"penalty": float("nan")}, "penalty"),
        ({"steps": 1}, "steps"),
    ],
    ids=lambda row: row if isinstance(row, str) else next(iter(row)),
)
def test_what_cannot_be_tuned_is_refused(changed, words):
    changed = dict(changed)
    net = small(gate=changed.pop("gate", None))
    table = nas.parameters(net)
    settings = {"target": middle(table), "table": table, "steps": 4, **changed}
    with pytest.raises(ValueError, match=words):
        nas.tune_search(net, data(), data(seed=1), **settings)
