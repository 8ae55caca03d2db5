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

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Geometry(NamedTuple):
    """What else defines a convolution."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int

    def partial(self, of: str, a: Tensor, b: Tensor, like: Tensor, bias: Tensor | None) -> Tensor:
        """C(x, w) + bias of "y", I(w, gy) of "x", W(x, gy) of "w"; the last two are shaped as `like`."""
        rest = *self[:3], False, [0] * len(self.stride), self.groups
        if of == "y":
            return torch.ops.aten.convolution(a, b, bias, *rest)
        x, w = (like, a) if of == "x" else (a, like)
        needed = [of == "x", of == "w", False]
        gradients = torch.ops.aten.convolution_backward(b, x, w, None, *rest, needed)
        return gradients[0] if of == "x" else gradients[1]


class _Partial(torch.autograd.Function):
    """The derivative of <gy, C(x, w)> by one of x, w and gy: a function of the other two, in this order."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        bias: Tensor | None,
        like: Tensor,
        of: str,
        geometry: Geometry,
    ) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.of, ctx.geometry = of, geometry
        return geometry.partial(of, a, b, like, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (cotangent,), names = grads, [name for name in "xwy" if name != ctx.of]
        inputs = dict(zip(names, ctx.saved_tensors, strict=True))
        form = {**inputs, ctx.of: cotangent}

        def by(name: str) -> Any:
            a, b = (form[other] for other in "xwy" if other != name)
            return _Partial.apply(a, b, None, inputs[name].detach(), name, ctx.geometry)

        wanted = zip(names, ctx.needs_input_grad, strict=False)
        with (
            torch._C.DisableTorchFunction()
        ):  # no code of the user's, whose `detach` means something
            of_inputs = [by(name) if needed else None for name, needed in wanted]
        dims = [0, *range(2, cotangent.dim())]
        of_bias = cotangent.sum(dims) if ctx.needs_input_grad[2] else None
        return *of_inputs, of_bias, None, None, None


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
        out: Any = _Partial.apply(input, weight, bias, input, "y", geometry)
        return out

    return convolution


# By the function that each stands for.
CHEAP = {getattr(torch, f"conv{count}d"): _for_dimensions(count) for count in (1, 2, 3)}
