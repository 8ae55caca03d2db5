"""Stop-gradients: closed to the first differentiation, open to the second.

A training gradient with stopped values, g(theta) = d/dtheta L(theta, s) at s = s(theta), is still a
function of theta, and its derivative has a term through s,

    dg/dtheta = L_tt + L_ts ds/dtheta,

which autograd does not record: what is detached is cut for good. Here every value that passes a
`detach`, a `no_grad` or an inner gradient without a graph goes through a gate instead. While the training
gradient is taken the gate is closed, as the user meant it; while that gradient is differentiated it is
open. The Jacobian is then not symmetric: a forward mode must not take it for a Hessian.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

Function = Callable[..., Any]


class Gate:
    """What the stopped values of one step pass.

    Attributes:
        open: Whether derivatives pass; open from the start where a value is differentiated only once.
        used: Whether anything was stopped.
    """

    def __init__(self, open: bool = False):
        self.open, self.used = open, False

    def stop(self, x: Tensor) -> Tensor:
        """x, from which the first differentiation does not go on."""
        if self.open or not x.requires_grad:
            return x.view_as(x)
        self.used = True
        stopped: Any = _Stop.apply(x, self)
        return stopped

    def stop_all(self, nest: Any) -> Any:
        """The same for every floating-point tensor in a nest."""
        return tree_map(lambda x: self.stop(x) if _differentiable(x) else x, nest)


class _Stop(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, gate: Gate) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        # A view could not be changed in place, as people do with what they detached.
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.gate = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        # None, not zeros: nothing behind a closed gate is visited, and no 0 * inf can come of it.
        return (grads[0] if ctx.gate.open else None), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return tangents[0] if ctx.gate.open else torch.zeros_like(tangents[0])


class _Replace(torch.autograd.Function):
    """The new value; the derivative goes to the old one where the gate is closed, else to the new."""

    @staticmethod
    def forward(ctx: Any, old: Tensor, new: Tensor, gate: Gate) -> Tensor:
        ctx.gate = gate
        return new.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return (None, grads[0], None) if ctx.gate.open else (grads[0], None, None)


def _differentiable(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _detached(gate: Gate, x: Tensor) -> Tensor:
    return gate.stop(x)


def _copied(gate: Gate, data: Any, *args: Any, **kwargs: Any) -> Tensor:
    """``torch.tensor``, which copies the value of a tensor and leaves its graph behind."""
    if not _differentiable(data):
        return torch.tensor(data, *args, **kwargs)
    wanted = {name: kwargs[name] for name in ("dtype", "device") if kwargs.get(name) is not None}
    return gate.stop(data).clone().to(**wanted)


# What leaves the graph behind, by the function that PyTorch announces.
STOPPING: dict[Any, Function] = {
    Tensor.detach: _detached,
    torch.detach: _detached,
    Tensor.data.__get__: lambda gate, x, *_: gate.stop(x),  # pyright: ignore[reportAttributeAccessIssue]
    torch.tensor: _copied,
}

# What hands a tensor's numbers to something that is not PyTorch, which refuses or warns of one with a graph:
# what was detached before has one here. If training depends on it by more than steps, verification tells.
LEAVING: frozenset[Any] = frozenset({
    Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.item, Tensor.tolist, Tensor.__float__,
    Tensor.__int__, Tensor.__complex__,
})  # fmt: skip


def without_gradient(gate: Gate, func: Function, args: Any, kwargs: Any) -> Any:
    """A call under ``no_grad``: its inputs are stopped, and what it does is recorded behind them.

    The inputs, not the results: a result may have been written in place, where no gate can be put.
    """
    if not _involved([*args, *kwargs.values()]):
        return func(*args, **kwargs)
    if changes_in_place(getattr(func, "__name__", "")):
        return _written(gate, func, args[0], args[1:], kwargs)
    out = kwargs.pop("out", None)
    with torch.enable_grad():
        result = func(*gate.stop_all(args), **gate.stop_all(kwargs))
    if out is not None:  # in memory of its own: the old one may be what a derivative needs
        out.data = result.detach()
    return result


def _written(gate: Gate, func: Function, x: Tensor, rest: Any, kwargs: Any) -> Any:
    """A change of x in place: to the first differentiation x is what it was, but for its value."""
    with torch.enable_grad():
        if not x.requires_grad:
            return func(x, *gate.stop_all(rest), **gate.stop_all(kwargs))
        old, new = x.clone(), x.clone()
        func(new, *rest, **kwargs)
        gate.used = gate.used or not gate.open
        x.copy_(_Replace.apply(old, new, gate))  # pyright: ignore[reportArgumentType]
    return x


def changes_in_place(name: str) -> bool:
    """Whether a tensor's method of this name writes to the tensor itself."""
    return (name.endswith("_") and not name.endswith("__")) or name in (
        "__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__ipow__",
    )  # fmt: skip


def _involved(x: Any) -> bool:
    if isinstance(x, (tuple, list)):
        return any(_involved(y) for y in x)
    if isinstance(x, dict):
        return any(_involved(y) for y in x.values())
    return _differentiable(x)


def transparent(function: Any) -> Function:
    """A function of PyTorch written in Python, which no longer announces itself, but what it calls."""
    silent = {name: lambda *_: False for name in function.__globals__ if name.startswith(_ASK)}
    return _with_globals(function, {**function.__globals__, **silent})


_ASK = "has_torch_function"


def _with_globals(function: FunctionType, names: dict[str, Any]) -> Function:
    copy = FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
