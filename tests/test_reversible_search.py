"""Searches with the integer engine, and experiments of its paper (arXiv:1502.03492)."""

import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import nongreedy as ng

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
    assert "Reversible" in result.settings["engine"]


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


def test_three_outer_steps_improve_the_toy():
    data = torch.zeros(1, 1), torch.zeros(1)
    task = ng.Task(Valley, lambda output, target: output, data, data, batch_size=1)
    steps, decay = 50, 0.99
    optimizer = ng.SGD(ng.PerStep(initial=1.0), momentum=decay)
    log_alpha, velocity, losses = torch.full((steps,), -4.5).double(), 0.0, []
    for _ in range(4):
        rate = log_alpha.exp() * (1 - decay)  # the paper's velocity is a mean, ours a sum
        h = ng.hypergradient(
            task, optimizer, steps=steps, schedule=ng.Schedule.of(learning_rate=rate.tolist()),
            engine=ng.Reversible(fraction_bits=44), dtype=torch.float64,
        )  # fmt: skip
        losses.append(h.value)
        velocity = 0.9 * velocity - 0.1 * h.per_step["learning_rate"] * rate
        log_alpha = log_alpha + 0.01 * velocity
    assert losses[3] < losses[0]


def digits_task():
    inputs, targets = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    inputs = inputs.double() / 16
    inputs, targets = inputs - inputs.mean(0), targets.long()
    net = nn.Sequential(
        nn.Linear(64, 60), nn.Tanh(), nn.Linear(60, 30), nn.Tanh(), nn.Linear(30, 10)
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.135, generator=torch.Generator().manual_seed(3))
    return ng.Task(
        net, functional.cross_entropy, (inputs[:1000], targets[:1000]),
        (inputs[:1000], targets[:1000]), batch_size=250,
    )  # fmt: skip


def test_hypergradients_grow_without_bound_where_training_is_chaotic():
    task = digits_task()

    def by_log_rate(log_alpha):
        rate = ng.Constant(initial=0.1 * math.exp(log_alpha), bounds=(1e-3, 10.0))
        optimizer = ng.SGD(rate, momentum=0.9)
        settings = {"steps": 50, "engine": "reversible", "dtype": torch.float64}
        found = ng.hypergradient(task, optimizer, **settings).gradients["learning_rate"].item()
        return found * rate.initial

    smooth = [by_log_rate(a) for a in (0.5, 1.0, 1.5, 2.0)]
    rough = [by_log_rate(a) for a in (3.2, 3.4, 3.6)]
    assert max(smooth) < 0
    assert min(abs(g) for g in rough) > 1e2 * max(abs(g) for g in smooth)
    assert max(rough) > 0 > min(rough)
