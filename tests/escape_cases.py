"""Values that leave autograd's graph in other ways than `detach`, and come back as numbers.

Each is a loss or a model that people write; the training gradient has a derivative through the value,
which a recording may or may not see: it is exact, or refused.
"""

import numpy
import torch
from torch import nn
from torch.nn import functional

from .silent_cases import TwoLayers, task


def _weighted(weight_of):
    """Examples weighted by a value of the output that has left the graph."""

    def loss(output, target):
        each = functional.cross_entropy(output, target, reduction="none")
        return (weight_of(each) * each).mean()

    return lambda: task(loss=loss)


@torch.no_grad()
def _decorated(each):
    return each.exp()


def _switched_off(each):
    with torch.set_grad_enabled(False):
        return each.exp()


def _inference(each):
    with torch.inference_mode():
        weight = each.exp()
    return weight.clone()


def _in_place(each):
    weight = each.clone()
    with torch.no_grad():
        weight.exp_()
    return weight.detach()


def _written_over(each):
    weight = torch.ones_like(each)
    with torch.no_grad():
        weight[::2] = each[::2].exp()
        weight.clamp_(max=50.0)
    return weight


def _without(each):
    """Detached in place."""
    return each.clone().detach_().exp()


def _twice(each):
    """Detached where nothing is recorded anyhow, as people do to be sure."""
    with torch.no_grad():
        return torch.tensor(each.detach()).exp().detach().data


def _matched(output, target):
    """Targets are matched to outputs by NumPy, and what is seen goes into a log: whole numbers."""
    confidence = output.detach().softmax(1).numpy()[:, 0]
    order = torch.from_numpy(numpy.argsort(confidence))
    _LOG.append((numpy.asarray(output.detach()).mean(), output.tolist(), target.numpy().sum()))
    return functional.cross_entropy(output[order], target.sort().values)


_LOG = list[object]()


class _Adapted(TwoLayers):
    """Inner steps on weights that require no gradient where they are judged."""

    def between(self, h):
        weight = self.middle.weight
        weight = weight if weight.requires_grad else weight.detach().requires_grad_()
        loss = (h @ weight.T).square().mean()
        (slope,) = torch.autograd.grad(loss, weight, create_graph=True)
        return torch.tanh(h @ (weight - 0.1 * slope).T)


def _normalized(output, target):
    """Losses scaled to one by their own value, as in many sums of several losses."""
    first = functional.cross_entropy(output, target)
    second = output.square().mean()
    return first / first.item() + second / float(second)


class _OwnBackward(TwoLayers):
    """An adversarial neighbour by a backward pass of one's own, which adds to the weights' gradients."""

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        near = x.clone().requires_grad_()
        (0.1 * super().forward(near).square().mean()).backward()
        return super().forward(x + 0.3 * functional.normalize(near.grad))


class _Functional(TwoLayers):
    """The same by torch.func, which has a graph."""

    def forward(self, x):
        slope = torch.func.grad(lambda near: super(_Functional, self).forward(near).square().sum())(
            x
        )
        return super().forward(x + 0.3 * functional.normalize(slope))


class _Lagging(TwoLayers):
    """Weights as they were taken by `.data`."""

    def between(self, h):
        return torch.tanh(functional.linear(h, self.middle.weight.data * 0.7, self.middle.bias))


class Doubled(torch.autograd.Function):
    """A Function of one's own that is right, twice."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.exp()


class Once(Doubled):
    """The same, written for one derivative."""

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * x.exp()


class _Applied(TwoLayers):
    function: type[torch.autograd.Function] = Doubled

    def between(self, h):
        return super().between(self.function.apply(h) - 1)


class _AppliedOnce(_Applied):
    function = Once


class _Conditional(TwoLayers):
    """Another branch by a value: the derivative is that of the branch."""

    def between(self, h):
        return super().between(h) if h.mean().item() > 0 else super().between(2 * h)


class _Unrolled(nn.Module):
    """Inner steps of gradient descent on a code, without a graph, as in predictive coding."""

    def __init__(self):
        super().__init__()
        self.decoder, self.last = nn.Linear(4, 6), nn.Linear(4, 2)

    def forward(self, x):
        code = torch.zeros(len(x), 4, dtype=x.dtype, device=x.device)
        for _ in range(3):
            code = code.detach().requires_grad_()
            error = (torch.tanh(self.decoder(code)) - x).square().sum()
            code = code - 0.1 * torch.autograd.grad(error, code)[0]
        return self.last(code)


ESCAPES = {
    "a decorated function": _weighted(_decorated),
    "set_grad_enabled": _weighted(_switched_off),
    "inference_mode": _weighted(_inference),
    "in place under no_grad": _weighted(_in_place),
    "written over under no_grad": _weighted(_written_over),
    "detach_": _weighted(_without),
    ".data": _weighted(lambda each: each.data.exp()),
    ".data of a weight": lambda: task(_Lagging),
    "numpy": _weighted(lambda each: torch.from_numpy(each.detach().numpy()).exp()),
    "tolist": _weighted(lambda each: torch.tensor(each.tolist(), dtype=each.dtype).exp()),
    "item": lambda: task(loss=_normalized),
    "a backward pass inside": lambda: task(_OwnBackward),
    "torch.func inside": lambda: task(_Functional),
    "inner steps": lambda: task(_Unrolled),
}
RIGHT = {
    "a Function that is right": lambda: task(_Applied),
    "a branch": lambda: task(_Conditional),
    "detached under no_grad": _weighted(_twice),
    "matched by NumPy": lambda: task(loss=_matched),
    "inner steps of weights": lambda: task(_Adapted),
}


def once_differentiable():
    """A Function that refuses a second derivative."""
    return task(_AppliedOnce)
