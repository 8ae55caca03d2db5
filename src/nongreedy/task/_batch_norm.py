"""BatchNorm whose double backward is cheap.

PyTorch differentiates its fused BatchNorm backward through about twenty-five passes over the
activations, most of them into fresh memory. Written out by hand, both results are combinations of
a, dy, x and 1 whose coefficients are constant on a channel, so that three sums over the activations
and one buffer for each result suffice:

    xhat = (x - mean) r,    r = (var + eps)^(-1/2),    y = gamma xhat + beta
    P(u) = u - mean(u) - xhat mean(u xhat)             symmetric in the channel's inner product
    dx   = gamma r P(dy),   dgamma = sum(dy xhat),     dbeta = sum(dy)

For cotangents (a, b, c) of (dx, dgamma, dbeta), with n values per channel, sA = sum(a), sD = sum(dy),
pA = sum(a xhat), pD = sum(dy xhat) and Q = sum(a dy) - sA sD / n - pA pD / n:

    dy    <- gamma r P(a) + b xhat + c
    gamma <- r Q
    x     <- r P(u dy - v a) - gamma Q r^2 xhat / n,
             u = b - gamma r pA / n,    v = gamma r pD / n
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ._convolution import served

_fused = functional.batch_norm


def _kernel_backward(
    dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor, eps: float, needed: list[bool]
):
    """(gamma r P(dy), sum(dy xhat), sum(dy)) in one fused call; None where it is not needed."""
    return torch.ops.aten.native_batch_norm_backward(
        dy, x, weight, None, None, mean, r, True, eps, needed
    )


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, mean, r = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        ctx.save_for_backward(x, weight, mean, r)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, mean, r = ctx.saved_tensors
        dx, dweight, dbias = _Backward.apply(grads[0], x, weight, mean, r, ctx.eps)
        return dx, dweight, dbias, None


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, dy: Tensor, x: Tensor, weight: Tensor, mean: Tensor, r: Tensor, eps: float
    ):
        dx, dweight, dbias = _kernel_backward(dy, x, weight, mean, r, eps, [True] * 3)
        ctx.save_for_backward(dy, x, weight, mean, r, dweight, dbias)
        ctx.eps = eps
        ctx.set_materialize_grads(True)
        return dx, dweight, dbias

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        if torch.is_grad_enabled():
            return _differentiable(ctx, *grads)
        a, b, c = grads
        dy, x, weight, mean, r, dot_d, sum_d = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        shape = (1, -1) + (1,) * (x.dim() - 2)

        def wide(v: Tensor) -> Tensor:
            return v.view(shape)

        _, dot_a, sum_a = _kernel_backward(a, x, weight, mean, r, ctx.eps, [False, True, True])
        buffer = a * dy
        inner = buffer.sum([0, *range(2, x.dim())])
        q = inner - sum_a * sum_d / n - dot_a * dot_d / n
        k = weight * r
        u, v = b - k * dot_a / n, k * dot_d / n
        # What multiplies x - mean, and what stands alone.
        slope = -(r * r * (u * dot_d - v * dot_a) + r * r * k * q) / n
        level = -r * (u * sum_d - v * sum_a) / n - slope * mean
        grad_x = torch.mul(dy, wide(r * u), out=buffer).addcmul_(a, wide(-r * v))
        grad_x.addcmul_(x, wide(slope)).add_(wide(level))
        slope = b * r - r * k * dot_a / n
        level = c - k * sum_a / n - slope * mean
        grad_dy = (a * wide(k)).addcmul_(x, wide(slope)).add_(wide(level))
        return grad_dy, grad_x, r * q, None, None, None


def _differentiable(ctx: Any, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor | None, ...]:
    """The same once more differentiable, by the cotangents alone, in which it is linear.

    Forward mode asks for that behind stop-gradients.
    """
    dy, x, weight, mean, r, *_ = (saved.detach() for saved in ctx.saved_tensors)
    dims, shape = [0, *range(2, x.dim())], (1, -1) + (1,) * (x.dim() - 2)
    mean, r, weight, b, c = (v.view(shape) for v in (mean, r, weight, b, c))
    xhat = (x - mean) * r

    def p(u: Tensor) -> Tensor:
        return u - u.mean(dims, keepdim=True) - xhat * (u * xhat).mean(dims, keepdim=True)

    def total(u: Tensor) -> Tensor:
        return u.mean(dims, keepdim=True)

    q = (a * p(dy)).sum(dims, keepdim=True)
    u, v = b - weight * r * total(a * xhat), weight * r * total(dy * xhat)
    grad_x = r * p(u * dy - v * a) - weight * q * r * r * xhat / (x.numel() // x.shape[1])
    return weight * r * p(a) + b * xhat + c, grad_x, (r * q).flatten(), None, None, None


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As ``torch.nn.functional.batch_norm``; our derivative where batch statistics are used."""
    batch_statistics = training and running_mean is None and running_var is None
    # A single value per channel is left to PyTorch to refuse.
    several = input.dim() > 1 and input.numel() > input.shape[1]
    if not (batch_statistics and several and served(input)):
        return _fused(input, running_mean, running_var, weight, bias, training, momentum, eps)
    channels = input.shape[1]
    weight = input.new_ones(channels) if weight is None else weight
    bias = input.new_zeros(channels) if bias is None else bias
    out: Any = _Forward.apply(input, weight, bias, eps)
    return out
