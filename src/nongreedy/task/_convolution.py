"""Convolution whose double backward is cheap.

A convolution is bilinear, so that it and its two gradients are closed under differentiation:

    y = C(x, w),    gx = I(gy, w),    gw = W(gy, x)
    C: x <- I(gy, w),  w <- W(gy, x)
    I: gy <- C(u, w),  w <- W(gy, u)          for a cotangent u of gx
    W: gy <- C(x, v),  x <- I(gy, v)          for a cotangent v of gw

The first backward pass is PyTorch's one call for all of gx, gw and the bias', so that a gradient with a
graph has the bits of one without. After it each is one call of a fast kernel, made only where its result
is needed. PyTorch's own double backward evaluates I as a transposed convolution, for which a CPU has no
fast kernel, and does so for the input of the first layer too, which nobody asks for.
"""

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Geometry(NamedTuple):
    """What else defines a convolution."""

    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int

    @property
    def _rest(self) -> tuple[Any, ...]:
        return *self[:3], False, [0] * len(self.stride), self.groups

    def value(self, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
        """C(x, w) + bias."""
        return torch.ops.aten.convolution(x, w, bias, *self._rest)

    def gradients(
        self,
        gy: Tensor,
        x: Tensor,
        w: Tensor,
        needed: list[bool],
        channels: list[int] | None = None,
    ) -> tuple[Tensor | None, ...]:
        """Those of x, w and, for a bias of so many channels, of it; None where it is not needed."""
        return torch.ops.aten.convolution_backward(gy, x, w, channels, *self._rest, needed)

    def partial(self, of: str, a: Tensor, b: Tensor, like: Tensor) -> Any:
        """C(x, w) of "y", I(w, gy) of "x", W(x, gy) of "w"; the last two are shaped as `like`."""
        if of == "y":
            return self.value(a, b)
        if of == "x":
            return self.gradients(b, like, a, [True, False, False])[0]
        return self.gradients(b, a, like, [False, True, False])[1]


class _Convolution(torch.autograd.Function):
    """y, whose backward pass is PyTorch's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.geometry = geometry
        return geometry.value(x, w, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, w = ctx.saved_tensors
        needed = list(ctx.needs_input_grad[:3])
        found = _Gradients.apply(grads[0], x, w, needed, ctx.geometry)
        return *found, None


class _Gradients(torch.autograd.Function):
    """gx, gw and the bias' gradient, as functions of gy, x and w."""

    @staticmethod
    def forward(
        ctx: Any, gy: Tensor, x: Tensor, w: Tensor, needed: list[bool], geometry: Geometry
    ) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(gy, x, w)
        ctx.geometry = geometry
        ctx.set_materialize_grads(False)
        return geometry.gradients(gy, x, w, needed, [w.shape[0]] if needed[2] else None)

    @staticmethod
    def backward(ctx: Any, *grads: Any):  # pyright: ignore[reportIncompatibleMethodOverride]
        (gy, x, w), (u, v, c) = ctx.saved_tensors, grads
        wants_gy, wants_x, wants_w = ctx.needs_input_grad[:3]

        def by(of: str, a: Tensor, b: Tensor, like: Tensor) -> Any:
            return _Partial.apply(a, b, like.detach(), of, ctx.geometry)

        # No code of the user's, whose `detach` means something.
        with torch._C.DisableTorchFunction():
            terms = list[Any]()
            if wants_gy and u is not None:
                terms.append(by("y", u, w, gy))
            if wants_gy and v is not None:
                terms.append(by("y", x, v, gy))
            if wants_gy and c is not None:
                terms.append(c.view(1, -1, *[1] * (gy.dim() - 2)).expand_as(gy))
            of_gy = functools.reduce(torch.add, terms) if terms else None
            of_x = by("x", v, gy, x) if wants_x and v is not None else None
            of_w = by("w", u, gy, w) if wants_w and u is not None else None
        return of_gy, of_x, of_w, None, None


class _Partial(torch.autograd.Function):
    """The derivative of <gy, C(x, w)> by one of x, w and gy: a function of the other two, in this order."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, like: Tensor, of: str, geometry: Geometry
    ) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.of, ctx.geometry = of, geometry
        return geometry.partial(of, a, b, like)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        (cotangent,), names = grads, [name for name in "xwy" if name != ctx.of]
        inputs = dict(zip(names, ctx.saved_tensors, strict=True))
        form = {**inputs, ctx.of: cotangent}

        def by(name: str) -> Any:
            a, b = (form[other] for other in "xwy" if other != name)
            return _Partial.apply(a, b, inputs[name].detach(), name, ctx.geometry)

        wanted = zip(names, ctx.needs_input_grad, strict=False)
        with (
            torch._C.DisableTorchFunction()
        ):  # no code of the user's, whose `detach` means something
            of_inputs = [by(name) if needed else None for name, needed in wanted]
        return *of_inputs, None, None, None


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
        out: Any = _Convolution.apply(input, weight, bias, geometry)
        return out

    return convolution


# By the function that each stands for.
CHEAP = {getattr(torch, f"conv{count}d"): _for_dimensions(count) for count in (1, 2, 3)}
