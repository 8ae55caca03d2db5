"""Layers with our own double backward: the same function, the same derivatives, no trace left."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional

import nongreedy as ng
from nongreedy.task import _double_backward
from nongreedy.task._convolution import CHEAP
from nongreedy.task._double_backward import recording
from nongreedy.task._silu import silu

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

        theirs = getattr(functional, name)
        return call(CHEAP[theirs]), call(theirs), inputs

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
    theirs = functional.conv2d
    mine, reference = (f(x, w, padding=padding) for f in (CHEAP[theirs], theirs))
    assert torch.equal(mine, reference)
    assert type(mine.grad_fn).__name__ == type(reference.grad_fn).__name__


LAYERS = {
    "batch_norm": (nn.BatchNorm1d(3, track_running_stats=False), (5, 3)),
    "conv1d": (nn.Conv1d(3, 2, 2), (5, 3, 4)),
    "conv2d": (nn.Conv2d(3, 2, 2), (5, 3, 4, 4)),
    "conv3d": (nn.Conv3d(3, 2, 2), (5, 3, 2, 2, 2)),
    "silu": (nn.SiLU(), (5, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_block_covers_layers_and_leaves_no_trace(name):
    layer, shape = LAYERS[name]
    x, before = torch.randn(shape, requires_grad=True), getattr(functional, name)
    fused = type(layer(x).grad_fn).__name__
    with pytest.raises(RuntimeError, match="stop"), recording():
        assert type(layer(x).grad_fn).__name__ != fused
        raise RuntimeError("stop")
    assert type(layer(x).grad_fn).__name__ == fused
    assert getattr(functional, name) is before


def test_every_cheap_function_has_a_layer_above():
    assert {function.__name__ for function in _double_backward._CHEAP} == set(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_pytorchs_bit_for_bit_in_nested_blocks_too(name, dtype):
    layer, shape = LAYERS[name]
    layer, x = copy.deepcopy(layer).to(dtype), torch.randn(shape, dtype=dtype)
    plain = layer(x)
    with recording():
        once = layer(x)
        with recording():
            twice = layer(x)
        again = layer(x)
    assert all(torch.equal(plain, value) for value in (once, twice, again))
    assert len({type(value.grad_fn).__name__ for value in (once, twice, again)}) == 1


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_with_a_graph_are_pytorchs_without_one_bit_for_bit(name, dtype):
    layer, shape = LAYERS[name]
    layer, x = copy.deepcopy(layer).to(dtype), torch.randn(shape, dtype=dtype).requires_grad_()
    by, weight = [x, *layer.parameters()], torch.randn(layer(x).shape, dtype=dtype)
    plain = torch.autograd.grad(layer(x), by, weight)
    with recording():
        output = layer(x)
    kept = torch.autograd.grad(output, by, weight, create_graph=True)
    assert all(torch.equal(*pair) for pair in zip(plain, kept, strict=True))


def test_silu_by_finite_differences_three_times():
    x = torch.linspace(-4, 4, 9, dtype=torch.float64).requires_grad_()
    assert gradcheck(silu, [x]) and gradgradcheck(silu, [x])
    slope = lambda x: torch.autograd.grad(silu(x).sum(), x, create_graph=True)[0]  # noqa: E731
    assert gradgradcheck(slope, [x])


def test_a_convolution_called_by_its_own_name():
    x, w = torch.randn(2, 3, 5, 5), torch.randn(4, 3, 2, 2, requires_grad=True)
    plain = torch.conv2d(x, w)
    with recording():
        mine = torch.conv2d(x, w)
    assert torch.equal(plain, mine) and type(mine.grad_fn) is not type(plain.grad_fn)


def test_another_thread_sees_nothing_of_a_block():
    layer, shape = LAYERS["conv2d"]
    x = torch.randn(shape)
    with ThreadPoolExecutor(1) as pool, recording():
        here, there = layer(x), pool.submit(layer, x).result()
    assert torch.equal(here, there)
    assert type(here.grad_fn) is not type(there.grad_fn)
    assert type(there.grad_fn) is type(layer(x).grad_fn)


def times(factor, function):
    return lambda *given, **named: factor * function(*given, **named)


@pytest.mark.parametrize("name", ["conv2d", "batch_norm", "cross_entropy", "relu"])
def test_a_users_patch_is_called_once_and_stays(name, monkeypatch):
    images, target = torch.randn(6, 3, 4, 4), torch.tensor([0, 1, 1, 0, 1, 0])
    layers = [nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2, track_running_stats=False), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten())

    def loss():
        return functional.cross_entropy(network(images), target)

    without = loss()
    patch = times(3, getattr(functional, name))
    monkeypatch.setattr(functional, name, patch)
    plain = loss()
    with recording():
        mine = loss()
        assert getattr(functional, name) is patch
    assert torch.equal(mine, plain) and not torch.equal(plain, without)
    assert getattr(functional, name) is patch


def test_a_patch_by_another_function_of_pytorchs(monkeypatch):
    x = torch.randn(5, 3)
    monkeypatch.setattr(functional, "softsign", torch.relu)
    monkeypatch.setattr(functional, "tanhshrink", functional.silu)
    with recording():
        assert torch.equal(nn.Softsign()(x), x.relu())
        assert torch.equal(nn.Tanhshrink()(x), functional.silu(x))


@pytest.mark.parametrize("name", LAYERS)
def test_transforms_of_functions_are_left_to_pytorch(name):
    layer, shape = LAYERS[name]
    x = torch.randn(2, *shape)

    def gradient(batch):
        return torch.func.grad(lambda given: layer(given).square().sum())(batch)

    def all_of_them():
        pushed = torch.func.jvp(layer, (x[0],), (x[1],))
        return torch.func.vmap(layer)(x), torch.func.vmap(gradient)(x), *pushed

    plain = all_of_them()
    with recording():
        mine = all_of_them()
    assert all(torch.equal(a, b) for a, b in zip(plain, mine, strict=True))


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
