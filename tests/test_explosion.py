"""Adjoints and tangents that outgrow their precision end a sweep; healthy ones are only recorded."""

import copy
import math

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy import testing
from nongreedy.engines._explosion import growth_limit
from nongreedy.errors import ExplodedError
from nongreedy.search import Objective
from nongreedy.testing import tiny_task

STEPS = 12
ADJOINT = ["device", "host", "disk", "checkpoint"]
LEARNED = ng.SGD(ng.Windows(2, initial=0.1), ng.Windows(1, initial=0.5), weight_decay=1e-3)


@pytest.mark.parametrize("optimizer", [LEARNED, ng.Adam(ng.Windows(2, initial=0.01))], ids=repr)
def test_norms_of_adjoints_are_the_same_from_every_store(optimizer):
    settings = {"steps": STEPS, "dtype": torch.float64}
    found = [
        ng.hypergradient(tiny_task(), optimizer, engine=ng.Reverse(store), **settings)
        for store in ADJOINT
    ]
    for h in found:
        assert torch.equal(h.adjoint_norms, found[0].adjoint_norms)
    assert found[0].adjoint_norms.shape == (STEPS + 1,)
    assert found[0].adjoint_norms[0].item() == pytest.approx(found[0].initial.norm().item())
    undone = ng.hypergradient(tiny_task(), optimizer, engine=ng.Reversible(), **settings)
    torch.testing.assert_close(undone.adjoint_norms, found[0].adjoint_norms, rtol=1e-2, atol=0)


def test_norms_of_adjoints_are_those_of_shorter_sweeps():
    # A run that starts where another one is after two steps has that one's last norms.
    x = torch.randn(8, 3).double()
    data = x, x.sum(1, keepdim=True)
    model = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    schedule = ng.Schedule.of(learning_rate=0.3, momentum=0.0, weight_decay=0.0)
    optimizer = ng.SGD(ng.Windows(1), momentum=0.0)

    def kept(model, steps):
        task = ng.Task(model, nn.functional.mse_loss, data, data, batch_size=8)
        run = ng.Run(task, optimizer, steps, dtype=torch.float64)
        return ng.Reverse("device").rollout(run, schedule, keep=True)

    whole, later = kept(model, 6), copy.deepcopy(model)
    nn.utils.vector_to_parameters(whole.trajectory.states[2][0], later.parameters())
    norms = ng.Reverse().differentiate(whole, ["learning_rate"]).adjoint_norms
    part = ng.Reverse().differentiate(kept(later, 4), ["learning_rate"]).adjoint_norms
    torch.testing.assert_close(part, norms[2:])


class Angle(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1).double())

    def forward(self, inputs):
        return self.weight + 0 * inputs


def swing():
    """Descent on a cosine: beyond a rate of pi the weight jumps about as a chaotic map does."""
    data = torch.zeros(1, 1).double(), torch.zeros(1, 1)
    return ng.Task(Angle, lambda w, _: (1 - w.cos()).sum(), data, data, batch_size=1)


def at_rate(rate, steps=60, dtype=torch.float64):
    optimizer = ng.SGD(ng.Windows(1, initial=rate, bounds=(1e-3, 100.0)), momentum=0.0)
    schedule = ng.Schedule.of(learning_rate=rate, momentum=0.0, weight_decay=0.0)
    return ng.Run(swing(), optimizer, steps, dtype=dtype), schedule


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "engine", [ng.Reverse("device"), ng.Reverse("checkpoint"), ng.Forward(), ng.RandomDirections(2)]
)
def test_an_explosion_ends_the_sweep_where_the_precision_is_spent(engine, dtype):
    (run, schedule), taken = at_rate(10.0, dtype=dtype), []
    backwards = isinstance(engine, ng.Reverse)
    kept = engine.rollout(run, schedule, keep=True)  # the run itself stays finite
    with pytest.raises(ExplodedError, match=r"at step \d+ of 60 is .* times as large") as caught:
        engine.differentiate(kept, ["learning_rate"], taken.append)
    error = caught.value
    assert isinstance(error, ng.DivergedError)
    assert error.quantity == ("adjoint" if backwards else "tangent")
    # A step multiplies by |1 - 10 cos|, 11 at most: the first step beyond the limit is named.
    assert growth_limit(dtype) < error.growth < 11.1 * growth_limit(dtype)
    # It is found out some steps later (`Readings`): after 1, 4, 16 and 64 steps.
    swept = 59 - error.step if backwards else error.step
    assert swept < 40 and swept <= len(taken) <= 3 * swept + 1


@pytest.mark.parametrize("engine", [ng.Reverse("device"), ng.Forward()])
def test_a_healthy_run_does_not_come_near_the_limit(engine):
    run, schedule = at_rate(0.5)
    assert (
        engine.hypergradient(run, schedule, ["learning_rate"]).gradients["learning_rate"].isfinite()
    )


@pytest.mark.parametrize("name", ["mlp", "conv_net", "gru", "transformer", "dead_relu"])
@pytest.mark.parametrize("optimizer", sorted(testing.OPTIMIZERS))
def test_growth_of_every_optimizer_is_far_below_the_limit_of_float32(optimizer, name):
    found = ng.hypergradient(tiny_task(name), testing.OPTIMIZERS[optimizer], steps=5)
    assert float(found.adjoint_norms.max() / found.adjoint_norms[-1]) < 100


def test_an_outer_gradient_of_zero_is_no_explosion():
    run, schedule = at_rate(0.5, steps=3)
    run.task.validation_loss = lambda w, _: 0 * w.sum()
    found = ng.Reverse().hypergradient(run, schedule, ["learning_rate"])
    assert found.adjoint_norms.tolist() == [0.0] * 4


def test_an_objective_counts_what_was_swept():
    task, learned = swing(), ng.SGD(ng.Windows(1, initial=10.0, bounds=(1e-3, 100.0)), momentum=0.0)
    objective = Objective(ng.Problem(task, learned, 60), ng.Reverse("device"))
    schedule = ng.Schedule.of(learning_rate=10.0, momentum=0.0, weight_decay=0.0)
    kept = objective.rollout(schedule, 0, keep=True)
    with pytest.raises(ExplodedError) as caught:
        objective.differentiate(kept)
    error = caught.value
    assert error.late > 0
    assert objective.cost == pytest.approx(1 + 3 * (60 - error.step + error.late) / 61)


def test_a_search_survives_explosions():
    # All rates above pi are chaotic, and the plain runs there do not diverge.
    result = ng.tune(
        swing(), ng.SGD(ng.Windows(2, initial=20.0, bounds=(1e-3, 100.0)), momentum=0.0),
        steps=40, outer_steps=6, dtype=torch.float32, outer="agreement",
    )  # fmt: skip
    assert any("no derivative" in row.note for row in result.history)
    assert result.validation_loss < 1e-6


def test_the_limit_can_be_moved():
    (run, schedule), learn = at_rate(10.0, steps=12), ["learning_rate"]
    low, high = ng.Reverse(growth_limit=1e3), ng.Reverse(growth_limit=1e99)
    found = [e.hypergradient(run, schedule, learn) for e in (ng.Reverse(), high)]
    assert torch.equal(found[0].gradients["learning_rate"], found[1].gradients["learning_rate"])
    with pytest.raises(ExplodedError):
        low.hypergradient(run, schedule, learn)
    (long, schedule), free = at_rate(10.0), ng.Reverse(growth_limit=math.inf)
    grown = free.hypergradient(long, schedule, learn).adjoint_norms
    assert float(grown.max()) > 1e20 * float(grown[-1])
    (run, schedule), momentum = at_rate(10.0, steps=30), {"momentum": torch.tensor([0.5]).double()}
    with pytest.raises(ExplodedError):
        schedule = schedule.with_coefficients(momentum)
        ng.Reversible(growth_limit=1.5).hypergradient(run, schedule, learn)


@pytest.mark.parametrize(
    ("engine", "text"),
    [
        (ng.Reverse(), "Reverse(store=Auto())"),
        (ng.Reverse(growth_limit=math.inf), "Reverse(store=Auto(), growth_limit=inf)"),
        (ng.Reversible(), "Reversible(denominator=1000, fraction_bits=52, verify=True)"),
    ],
)
def test_the_limit_is_shown_where_it_was_given(engine, text):
    assert repr(engine) == text


@pytest.mark.parametrize("limit", [1, 0.0, -3, float("nan")])
@pytest.mark.parametrize("make", [ng.Reverse, ng.Reversible])
def test_a_limit_of_no_growth_is_refused(make, limit):
    with pytest.raises(ValueError, match=r"`growth_limit` must be more than 1.*math\.inf"):
        make(growth_limit=limit)
