"""BatchNorm with the hand-written double backward: the same function, the same derivatives."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

import nongreedy as ng
from nongreedy.task import _batch_norm

from .helpers import tiny_task, two_derivatives

SHAPES = {
    "2d": (5, 3),
    "1d": (3, 2, 4),
    "image": (3, 2, 2, 3),
    "3d": (2, 2, 2, 1, 2),
    "odd": (2, 1, 3),
}


def drawn(shape, affine=True):
    """Input, weight and bias in float64; the weight also negative, as in training."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    parameters = torch.randn(2, shape[1], generator=generator, dtype=torch.float64)
    return [t.requires_grad_() for t in (x, *(parameters if affine else ()))]


def ours(x, weight=None, bias=None):
    return _batch_norm.batch_norm(x, None, None, weight, bias, training=True)


def theirs(x, weight=None, bias=None):
    return functional.batch_norm(x, None, None, weight, bias, training=True)


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
class TestDerivatives:
    def test_first_and_second_by_finite_differences(self, shape, affine):
        inputs = drawn(shape, affine)
        assert gradcheck(ours, inputs)
        assert gradgradcheck(ours, inputs)

    def test_all_equal_to_pytorchs_own(self, shape, affine):
        results = [two_derivatives(f, drawn(shape, affine)) for f in (ours, theirs)]
        for mine, reference in zip(*results, strict=True):
            torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-12)


def test_large_mean_and_tiny_variance():
    # Where sums of squares would cancel: the double backward must not be worse than PyTorch's.
    results = []
    for function in (ours, theirs):
        x, weight, bias = drawn((64, 2))
        shifted = 100 + 1e-2 * x
        (first,) = torch.autograd.grad(
            function(shifted, weight, bias).sin().sum(), x, create_graph=True
        )
        results.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-6 * results[1].abs().max().item())


def test_only_batch_statistics_on_the_cpu_take_our_path():
    x, weight, bias = drawn((5, 3))
    mean, var = torch.zeros(3).double(), torch.ones(3).double()
    frozen = _batch_norm.batch_norm(x, mean, var, weight, bias, training=False)
    assert type(frozen.grad_fn).__name__ != type(ours(x).grad_fn).__name__
    torch.testing.assert_close(frozen, functional.batch_norm(x, mean, var, weight, bias))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ours(torch.ones(1, 3))  # the refusal is PyTorch's own


def test_running_statistics_take_no_part():
    # They would be state outside the flat vector: two calls must not influence each other.
    run = ng.Run(tiny_task("batch_norm_1d"), ng.SGD(), 4, dtype=torch.float64)
    start = run.initial()[0]
    before = run.outer_loss(start)
    for t in range(4):
        run.training_loss(start, t)
    assert run.outer_loss(start) == before
    assert not list(run.module.module.buffers())
