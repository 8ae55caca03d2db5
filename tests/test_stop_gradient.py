"""Hypergradients through stop-gradients are exact, in every engine and store."""

import functools

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import nongreedy as ng

from . import plain_loop
from .stop_gradient_cases import CASES

STEPS = 6
VALUES = {
    ng.SGD: {"learning_rate": [0.5, 0.3], "momentum": [0.5, 0.4], "weight_decay": [0.03, 0.02]},
    ng.Adam: {"learning_rate": [0.05, 0.03], "beta1": [0.8, 0.6], "weight_decay": [0.03, 0.02]},
}
ENGINES = {
    "device": ng.Reverse("device"),
    "host": ng.Reverse("host"),
    "disk": ng.Reverse("disk"),
    "checkpoint": ng.Reverse("checkpoint"),
    "forward": ng.Forward(),
    "reversible": ng.Reversible(),
}


@functools.cache
def judged(case, rule):
    task = CASES[case]()
    return task, plain_loop.slopes(task, rule, VALUES[rule], STEPS)


def check(case, engine, rule):
    task, expected = judged(case, rule)
    values = VALUES[rule]
    plain_loop.assert_exact(task, values, STEPS, engine, rule, expected=expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_exact(case, engine):
    check(case, ENGINES[engine], ng.SGD)


@pytest.mark.parametrize("engine", ["device", "checkpoint", "forward", "reversible"])
@pytest.mark.parametrize("case", ["soft_bootstrapping", "straight_through", "vq_vae"])
def test_exact_with_adam(case, engine):
    check(case, ENGINES[engine], ng.Adam)


class Open(TorchFunctionMode):
    """What is stopped is not."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.detach:
            return args[0].view_as(args[0])
        if func is torch.autograd.grad:
            return func(*args, **{**(kwargs or {}), "create_graph": True})
        ignored = func is torch._C._set_grad_enabled
        return None if ignored else func(*args, **(kwargs or {}))


class Opened(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.network = make()

    def forward(self, x):
        with Open():
            return self.network(x)


# A mode is not told of what PyTorch's own gumbel_softmax does inside.
@pytest.mark.parametrize("case", [case for case in CASES if case != "gumbel_softmax"])
def test_the_stop_matters(case):
    """Guards the table above: training without the stop is another training."""
    task = CASES[case]()
    make, loss = task.model, task.loss

    def opened_loss(output, target):
        with Open():
            return loss(output, target)

    stopped = plain_loop.final_loss(task, ng.SGD, VALUES[ng.SGD], STEPS)
    task.model, task.loss = functools.partial(Opened, make), opened_loss
    through = plain_loop.final_loss(task, ng.SGD, VALUES[ng.SGD], STEPS)
    assert abs(through - stopped) > 1e-4 * abs(stopped)
