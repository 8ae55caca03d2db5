"""Layers with our own double backward: the same function, the same derivatives, no trace left."""

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

import nongreedy as ng
from nongreedy.task import _double_backward
from nongreedy.task._convolution import CHEAP

from .helpers import tiny_task, two_derivatives

# input shape, weight shape, stride, padding, dilation, groups
GEOMETRIES = {
    "plain": ((2, 2, 4, 4), (3, 2, 3, 3), 1, 0, 1, 1),
    "strided": ((2, 2, 6, 5), (3, 2, 3, 2), (2, 1), (1, 0), 1, 1),
    "rows left over": ((1, 1, 6, 6), (2, 1, 3, 3), 2, 0, 1, 1),
    "dilated": ((1, 2, 6, 6), (2, 2, 2, 2), 1, 1, (2, 3), 1),
    "grouped": ((2, 4, 4, 4), (4, 2, 3, 3), 1, 1, 1, 2),
    "depthwise": ((2, 3, 4, 4), (3, 1, 3, 3), 1, 1, 1, 3),
    "1d": ((2, 2, 7), (3, 2, 3), 2, 1, 1, 1),
    "3d": ((1, 1, 3, 3, 4), (2, 1, 2, 2, 2), 1, 0, 1, 1),
}


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
class TestConvolution:
    def made(self, geometry, bias):
        """Our function and PyTorch's, and inputs that all want derivatives."""
        shape, weight_shape, *others = geometry
        name, generator = f"conv{len(shape) - 2}d", torch.Generator().manual_seed(1)
        shapes = [shape, weight_shape, *([weight_shape[:1]] if bias else [])]
        inputs = [
            torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_()
            for s in shapes
        ]

        def call(function):
            return lambda x, w, b=None: function(x, w, b, *others)

        return call(CHEAP[name]), call(getattr(functional, name)), inputs

    def test_first_and_second_by_finite_differences(self, geometry, bias):
        ours, _, inputs = self.made(geometry, bias)
        assert gradcheck(ours, inputs)
        assert gradgradcheck(ours, inputs)

    @pytest.mark.parametrize("wanted", ["all", "parameters"])
    def test_all_equal_to_pytorchs_own(self, geometry, bias, wanted):
        *functions, inputs = self.made(geometry, bias)
        inputs[0].requires_grad_(wanted == "all")
        results = [two_derivatives(function, inputs) for function in functions]
        for mine, reference in zip(*results, strict=True):
            torch.testing.assert_close(mine, reference, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "padding"), [((2, 5, 5), 0), ((1, 2, 5, 5), "same")], ids=["unbatched", "by name"]
)
def test_other_calls_are_left_to_pytorch(shape, padding):
    x, w = torch.randn(shape), torch.randn(3, 2, 3, 3, requires_grad=True)
    mine, reference = (f(x, w, padding=padding) for f in (CHEAP["conv2d"], functional.conv2d))
    assert torch.equal(mine, reference)
    assert type(mine.grad_fn).__name__ == type(reference.grad_fn).__name__


LAYERS = {
    "batch_norm": (nn.BatchNorm1d(3, track_running_stats=False), (5, 3)),
    "conv1d": (nn.Conv1d(3, 2, 2), (5, 3, 4)),
    "conv2d": (nn.Conv2d(3, 2, 2), (5, 3, 4, 4)),
    "conv3d": (nn.Conv3d(3, 2, 2), (5, 3, 2, 2, 2)),
}


@pytest.mark.parametrize("name", _double_backward._CHEAP)
def test_the_block_covers_layers_and_leaves_no_trace(name):
    layer, shape = LAYERS[name]
    x, before = torch.randn(shape, requires_grad=True), getattr(functional, name)
    fused = type(layer(x).grad_fn).__name__
    with pytest.raises(RuntimeError, match="stop"), _double_backward.cheap_double_backward():
        assert type(layer(x).grad_fn).__name__ != fused
        raise RuntimeError("stop")
    assert type(layer(x).grad_fn).__name__ == fused
    assert getattr(functional, name) is before


@pytest.mark.parametrize("model", ["conv_net", "batch_norm_1d"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_linearize_has_the_gradient_of_a_plain_step(model, dtype):
    run = ng.Run(tiny_task(model), ng.SGD(), 4, dtype=dtype)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    with run.isolated():
        for t in range(4):
            _, plain = run.gradient(run.initial()[0], t)
            linearized = run.linearize(run.initial()[0], t).gradient
            torch.testing.assert_close(linearized.detach(), plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("model", ["conv_net", "batch_norm_1d"])
def test_hypergradients_equal_those_through_pytorchs_own(model, monkeypatch):
    def found():
        optimizer = ng.SGD(ng.Windows(3, initial=0.3), ng.Windows(2, initial=0.5), 0.01)
        return ng.hypergradient(tiny_task(model), optimizer, steps=9, dtype=torch.float64)

    mine = found()
    monkeypatch.setattr(_double_backward, "_CHEAP", {})
    reference = found()
    for name, gradient in reference.gradients.items():
        torch.testing.assert_close(mine.gradients[name], gradient, rtol=1e-10, atol=1e-12)
