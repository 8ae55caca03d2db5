"""Searches with the integer engine, and experiments of its paper (arXiv:1502.03492)."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from benchmarks import chaos, mnist

from .data_files import shared
from .helpers import tiny_task
from .reversible_runs import made


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_tune(name):
    changed = {"momentum": ng.Windows(1, initial=0.5)} if name == "sgd" else {}
    optimizer = made(name, **changed)
    result = ng.tune(
        tiny_task(), optimizer, steps=12, outer_steps=2, budget=40, engine="reversible"
    )
    assert result.validation_loss < 2.0 and len(result.history) >= 1
    assert result.settings["engine"] == ng.Reversible().to_json()


def test_a_search_rejects_a_proposal_that_cannot_be_reversed():
    # Training leads away from the validation targets: less of everything is better, and the second
    # proposal has no momentum.
    ones, net = torch.ones(8, 1), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    task = ng.Task(net, functional.mse_loss, (ones, ones), (ones, -ones), batch_size=4)
    rate = ng.Constant(initial=0.01, bounds=(1e-4, 1.0), outer_step=1e-3, transform=None)
    momentum = ng.Constant(initial=0.4, bounds=(0.0, 0.99), outer_step=0.5, transform=None)
    result = ng.tune(
        task, ng.SGD(rate, momentum), steps=10, outer_steps=3, outer=ng.SignDescent(),
        engine="reversible",
    )  # fmt: skip
    first, second, third = result.history
    assert first.signs["momentum"] == "+" and second.values["momentum"] == [0.0]
    assert "rejected: momentum is 0 at step 0" in second.note and not second.accepted
    assert third.accepted and third.values["momentum"][0] == pytest.approx(0.15)


class Valley(nn.Module):
    """Two parameters in a curved valley; the output is the loss."""

    def __init__(self):
        super().__init__()
        self.point = nn.Parameter(torch.tensor([3.9, 1.4]))

    def forward(self, inputs):
        x, y = self.point
        rosenbrock = 100 * (x - y**2) ** 2 + (1 - y) ** 2 + 200 * y
        return 800 * torch.sigmoid(rosenbrock / 500) + 0 * inputs.sum()


def test_rev_8_three_outer_steps_improve_the_toy():
    """E1, with 44 bits after the point, because at 52 the run is refused, and rightly.

    52 bits reach 1,024, the last bit being headroom. The paper's velocity, a mean of gradients, stays
    below 13 here; ours, as PyTorch's, is their sum, with momentum 0.99 up to a hundred times as large,
    and reaches 1,234. Eight bits less still resolve 6e-14.
    """
    data = torch.zeros(1, 1), torch.zeros(1)
    task = ng.Task(Valley, lambda output, target: output, data, data, batch_size=1)
    steps, decay = 50, 0.99
    optimizer = ng.SGD(ng.PerStep(initial=1.0), momentum=decay)
    log_alpha, velocity, losses = torch.full((steps,), -4.5).double(), 0.0, []
    for _ in range(4):
        rate = log_alpha.exp() * (1 - decay)
        h = ng.hypergradient(
            task, optimizer, steps=steps, schedule=ng.Schedule.of(learning_rate=rate.tolist()),
            engine=ng.Reversible(fraction_bits=44), dtype=torch.float64,
        )  # fmt: skip
        losses.append(h.value)
        velocity = 0.9 * velocity - 0.1 * h.per_step["learning_rate"] * rate
        log_alpha = log_alpha + 0.01 * velocity
    assert losses[3] < losses[0]


def test_rev_7_hypergradients_grow_without_bound_where_training_is_chaotic():
    """E7: 40 rates, of which those left of 1.4 agree in sign and those right of 1.9 grow.

    `Reversible` has the bits of stored states of its run (test_reversible), at twice the time of
    `Reverse`, which therefore takes most rates here; benchmarks.chaos undoes them all, in float64.
    """
    data = mnist.read(shared("mnist"))
    task = chaos.make_task(data, seed=0)
    engine = ng.Reverse(growth_limit=math.inf)
    points = [chaos.point(task, a, engine, torch.float32) for a in chaos.RATES]
    smooth, rough = chaos.sides(points)
    assert len(points) == 40 and len(smooth) >= 17 and len(rough) >= 12
    assert max(p.slope for p in smooth) < 0
    largest = max(abs(p.slope) for p in smooth)
    sizes = sorted(abs(p.slope) for p in rough)
    assert sizes[1] > 1e2 * largest  # all but the one at 1.94
    assert sizes[-1] > 1e8 * largest
    assert min(p.slope for p in rough) < 0 < max(p.slope for p in rough)
    for log_rate, loss, slope in ((0.5, 0.0288, -0.062), (1.0, 0.0096, -0.021)):  # the paper's
        undone = chaos.point(task, log_rate, ng.Reversible(), torch.float32)
        assert undone.loss == pytest.approx(loss, rel=0.25)
        assert undone.slope == pytest.approx(slope, rel=0.25)
