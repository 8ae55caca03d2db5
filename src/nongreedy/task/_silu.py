"""SiLU whose gradient has the same bits with a graph as without one.

PyTorch computes x s(x), with s the logistic function, backwards by one kernel where nobody will differentiate
again, and by several others where somebody will:

    f' = s (1 + x (1 - s)),    f'' = s (1 - s) (2 + x (1 - 2 s))
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_fused = functional.silu


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.ops.aten.silu(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Backward.apply(grads[0], *ctx.saved_tensors)


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dy: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(dy, x)
        return torch.ops.aten.silu_backward(dy, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        dy, x = ctx.saved_tensors
        # No code of the user's, whose functions may mean something else.
        with torch._C.DisableTorchFunction():
            s = torch.sigmoid(x)
            curvature = s * (1 - s) * (2 + x * (1 - 2 * s))
            return _Backward.apply(grads[0], x), grads[0] * dy * curvature


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """As ``torch.nn.functional.silu``."""
    if inplace or torch._C._are_functorch_transforms_active():
        return _fused(input, inplace)
    out: Any = _Forward.apply(input)
    return out
