"""Convolution whose double backward is cheap.

A convolution is bilinear, so that it and its two gradients are closed under differentiation:

    y = C(x, w),    gx = I(gy, w),    gw = W(gy, x)
    C: x <- I(gy, w),  w <- W(gy, x)
    I: gy <- C(u, w),  w <- W(gy, u)          for a cotangent u of gx
    W: gy <- C(x, v),  x <- I(gy, v)          for a cotangent v of gw

Each is one call of a fast kernel, made only where its result is needed. PyTorch's own double backward
evaluates I as a transposed convolution, for which a CPU has no fast kernel, and does so for the input
of the first layer too, which nobody asks for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Geometry(NamedTuple):
    """What else defines a convolution."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int

    def convolve(self, x: Tensor, w: Tensor, b: Tensor | None) -> Tensor:
        """C(x, w) + b."""
        return torch.ops.aten.convolution(
            x, w, b, *self[:3], False, [0] * len(self.stride), self[3]
        )

    def gradient(self, gy: Tensor, x: Tensor, w: Tensor, of_input: bool) -> Tensor:
        """I(gy, w), of which x gives the shape, or W(gy, x), of which w does."""
        gradients = torch.ops.aten.convolution_backward(
            gy, x, w, None, *self[:3], False, [0] * len(self.stride), self[3],
            [of_input, not of_input, False],
        )  # fmt: skip
        return gradients[0] if of_input else gradients[1]


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.geometry = geometry
        return geometry.convolve(x, w, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (gy,), (x, w), (on_x, on_w, on_b, _) = grads, ctx.saved_tensors, ctx.needs_input_grad
        gx = _InputGradient.apply(gy, w, x.detach(), ctx.geometry) if on_x else None
        gw = _WeightGradient.apply(gy, x, w.detach(), ctx.geometry) if on_w else None
        gb = gy.sum([0, *range(2, gy.dim())]) if on_b else None
        return gx, gw, gb, None


class _InputGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gy: Tensor, w: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(gy, w)
        ctx.geometry = geometry
        return geometry.gradient(gy, like, w, of_input=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (u,), (gy, w), (on_gy, on_w, _, _) = grads, ctx.saved_tensors, ctx.needs_input_grad
        back = _Convolve.apply(u, w, None, ctx.geometry) if on_gy else None
        gw = _WeightGradient.apply(gy, u, w.detach(), ctx.geometry) if on_w else None
        return back, gw, None, None


class _WeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gy: Tensor, x: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(gy, x)
        ctx.geometry = geometry
        return geometry.gradient(gy, x, like, of_input=False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (v,), (gy, x), (on_gy, on_x, _, _) = grads, ctx.saved_tensors, ctx.needs_input_grad
        back = _Convolve.apply(x, v, None, ctx.geometry) if on_gy else None
        gx = _InputGradient.apply(gy, v, x.detach(), ctx.geometry) if on_x else None
        return back, gx, None, None


def served(x: Tensor) -> bool:
    """Whether our derivatives serve here: the transforms of torch.func would ask for more of them."""
    return x.device.type == "cpu" and not torch._C._are_functorch_transforms_active()


def _listed(value: int | tuple[int, ...] | list[int], count: int) -> list[int]:
    return [value] * count if isinstance(value, int) else list(value)


def _for_dimensions(count: int) -> Any:
    """Our version of ``conv1d``, ``conv2d`` or ``conv3d``, with PyTorch's behind it."""
    fused: Any = getattr(torch, f"conv{count}d")

    def convolution(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        """As the function of this name in ``torch.nn.functional``; our derivative on a CPU."""
        batched = input.dim() == weight.dim() == count + 2
        if not batched or isinstance(padding, str) or not served(input):
            return fused(input, weight, bias, stride, padding, dilation, groups)
        stride, padding, dilation = (_listed(v, count) for v in (stride, padding, dilation))
        geometry = Geometry(stride, padding, dilation, groups)
        out: Any = _Convolve.apply(input, weight, bias, geometry)
        return out

    return convolution


# By the function that each stands for.
CHEAP = {getattr(torch, f"conv{count}d"): _for_dimensions(count) for count in (1, 2, 3)}
