"""The judge itself: it agrees with what is known to be right, and sees what is planted."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from . import plain_loop
from .helpers import MODELS, tiny_task

VALUES = {
    ng.SGD: {"learning_rate": [0.3, 0.2], "momentum": [0.5, 0.4], "weight_decay": [0.02, 0.03]},
    ng.Adam: {"learning_rate": [0.03, 0.02], "beta1": [0.8, 0.7], "weight_decay": [0.02, 0.03]},
}


@pytest.mark.parametrize("rule", VALUES)
@pytest.mark.parametrize("model", [name for name in MODELS if name != "dead_relu"])
def test_the_plain_loop_agrees_with_the_conformance_table(model, rule):
    plain_loop.assert_exact(tiny_task(model), VALUES[rule], 5, rule=rule)


class Weight(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * self.w


def test_differences_of_a_quadratic_are_its_derivative():
    # One step from w = 1 on (w - 3)^2 ends at 1 + 4 a - decay a, and is judged by (w - 2)^2.
    one = torch.ones(2, 1)
    task = ng.Task(Weight, functional.mse_loss, (one, 3 * one), (one, 2 * one), batch_size=2)
    values = {"learning_rate": [0.1], "weight_decay": [0.5]}
    assert plain_loop.final_loss(task, ng.SGD, values, 1) == pytest.approx((1.35 - 2) ** 2)
    found = plain_loop.slopes(task, ng.SGD, values, 1)
    for name, slope in (("learning_rate", 2 * -0.65 * 3.5), ("weight_decay", 2 * -0.65 * -0.1)):
        assert found[name][0].item() == pytest.approx(slope, rel=1e-9)


def test_a_wrong_second_derivative_is_seen():
    class Square(torch.autograd.Function):
        """x^2, whose second derivative is told as 2.2."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            constant = torch.tensor(x.tolist(), dtype=x.dtype)  # nothing that a graph could reach
            return grad * (2.2 * x - 0.2 * constant)

    def loss(output, target):
        return functional.cross_entropy(Square.apply(output), target)

    task = tiny_task("mlp", loss=loss, validation_loss=functional.cross_entropy)
    values = VALUES[ng.SGD]
    run = ng.Run(task, plain_loop.optimizer(ng.SGD, values), 5, dtype=torch.float64)
    start = ng.Schedule.initial(run.optimizer.hyperparameters(5))
    # The engine by itself: nobody has verified the task here.
    found = ng.Reverse().hypergradient(run, start, list(values)).gradients
    off, doubt = plain_loop.error(found, plain_loop.slopes(task, ng.SGD, values, 5))
    assert off > 1e-3 and doubt < 1e-7


def test_the_callers_generators_are_left_alone():
    state = torch.get_rng_state()
    plain_loop.final_loss(tiny_task("conv_net"), ng.SGD, VALUES[ng.SGD], 3)
    assert torch.equal(state, torch.get_rng_state())


def test_a_kink_within_the_widest_difference_is_stepped_around():
    # |w - c| at a w that the widest difference crosses: the narrow ones do not.
    one = torch.ones(2, 1)
    task = ng.Task(
        Weight,
        lambda out, y: out.mean(),
        (one, one),
        (one, one * 0.90005),
        batch_size=2,
        validation_loss=functional.l1_loss,
    )
    slope, doubt = plain_loop.slopes(task, ng.SGD, {"learning_rate": [0.1]}, 1)["learning_rate"]
    assert slope.item() == pytest.approx(1.0, rel=1e-7) and doubt < 1e-7
