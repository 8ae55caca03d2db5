"""A run under autocast is differentiated as the run that it is: as autograd differentiates the same loop."""

import contextlib

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

import nongreedy as ng
from nongreedy.engines import Checkpoints, Device, Graphs
from nongreedy.task._data_plan import INITIAL, mix

STEPS, RATE, MOMENTUM = 12, 0.1, 0.8
DRAW = torch.Generator().manual_seed(0)
X, Y = torch.randn(60, 8, generator=DRAW), torch.randint(3, (60,), generator=DRAW)
ENGINES = {
    "graphs": ng.Reverse(Graphs()),
    "states": ng.Reverse(Device()),
    "checkpoints": ng.Reverse(Checkpoints()),
    "forward": ng.Forward(),
}
COARSE = torch.finfo(torch.bfloat16).eps


def half():
    return torch.autocast("cpu", torch.bfloat16)


def network():
    return nn.Sequential(
        nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3)
    )


class Within(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = network()

    def forward(self, x):
        with half():
            return self.network(x).float()


def task(model):
    return ng.Task(
        model, functional.cross_entropy, (X[:40], Y[:40]), (X[40:], Y[40:]), batch_size=20
    )


def of_the_library(model, engine):
    rule = ng.SGD(ng.Windows(1, initial=RATE), ng.Windows(1, initial=MOMENTUM), 0.0)
    found = ng.hypergradient(task(model), rule, steps=STEPS, engine=engine)
    return torch.stack([found.gradients[n][0].float() for n in ("learning_rate", "momentum")])


def of_autograd(model, block):
    """The same loop, every step kept, differentiated by one call."""
    torch.manual_seed(mix(0, INITIAL))
    made, values = model(), torch.tensor([RATE, MOMENTUM], requires_grad=True)
    weights, plan = (
        {n: p.detach().requires_grad_() for n, p in made.named_parameters()},
        task(model).plan,
    )
    speeds = {name: torch.zeros_like(p) for name, p in weights.items()}
    for step in range(STEPS):
        x, y = plan.batch(0, step, torch.device("cpu"), torch.float32)
        with block():
            loss = functional.cross_entropy(functional_call(made, weights, (x,)), y)
        slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        for (name, weight), slope in zip(weights.items(), slopes, strict=True):
            speeds[name] = values[1] * speeds[name] + slope
            weights[name] = weight - values[0] * speeds[name]
    with block():
        judged = functional.cross_entropy(functional_call(made, weights, (X[40:],)), Y[40:])
    return torch.autograd.grad(judged, values)[0]


def apart(found, wanted):
    return float(((found - wanted).abs() / wanted.abs()).max())


@pytest.mark.parametrize("engine", ENGINES)
def test_within_the_model(engine):
    wanted = of_autograd(Within, contextlib.nullcontext)
    # Tangents take their products in another order than adjoints, and these round to bfloat16.
    limit = COARSE if engine == "forward" else 1e-5
    assert apart(of_the_library(Within, ENGINES[engine]), wanted) < limit


@pytest.mark.parametrize("engine", ENGINES)
def test_around_the_call(engine):
    with half():
        found = of_the_library(network, ENGINES[engine])
    assert apart(found, of_autograd(network, half)) < COARSE


def test_it_is_another_run_than_without():
    plain = of_the_library(network, ENGINES["states"])
    assert apart(of_the_library(Within, ENGINES["states"]), plain) > 1e-4


@pytest.mark.parametrize("engine", [*ENGINES.values(), ng.Reversible()])
def test_a_sweep_under_another_autocast_than_the_run_is_refused(engine):
    if not engine.needs_states:
        pytest.skip("it trains again")
    problem = ng.Problem(task(network), ng.SGD(ng.Windows(1, initial=RATE), 0.5, 0.0), STEPS)
    kept = engine.rollout(problem.run(), problem.initial, keep=True)
    with half(), pytest.raises(ValueError, match=r"under autocast off.*bfloat16"):
        engine.differentiate(kept, ["learning_rate"])
    assert engine.differentiate(kept, ["learning_rate"]).gradients
    with half():
        kept = engine.rollout(problem.run(), problem.initial, keep=True)
    with pytest.raises(ValueError, match=r"bfloat16.*is differentiated under off"):
        engine.differentiate(kept, ["learning_rate"])


def test_stores_have_the_same_bits():
    first, *others = (
        of_the_library(Within, ENGINES[e]) for e in ("states", "graphs", "checkpoints")
    )
    assert all(torch.equal(first, other) for other in others)
