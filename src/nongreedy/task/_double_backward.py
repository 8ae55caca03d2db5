"""How a training gradient is recorded that will be differentiated once more.

A function mode stands between the user's code and PyTorch, in this thread only, and calls another
function where a table has one: layers whose second derivative PyTorch computes slowly or wrongly, and
stop-gradients, which it forgets.
"""

from collections.abc import Callable, Mapping
from types import BuiltinFunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from . import _batch_norm, _convolution, _silu
from ._embedding import EMBEDDINGS
from ._nest import detached
from ._refusals import missing_derivative
from ._stop_gradient import LEAVING, STOPPING, Gate, transparent, without_gradient

Function = Callable[..., Any]


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """``torch._weight_norm``, whose own second derivative leaves out terms on a CPU."""
    return v * (g / torch.norm_except_dim(v, 2, dim))


def _hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """``hardsigmoid``, which has no second derivative in PyTorch: it is zero but for two points. PyTorch's
    slope of 1/6 is that of float32, 3e-8 off."""
    value = functional.relu6(input + 3) / 6
    return input.copy_(value) if inplace else value


# Same values and derivatives as the functions that they stand for.
_CHEAP: dict[Function, Function] = {
    functional.batch_norm: _batch_norm.batch_norm,
    functional.silu: _silu.silu,
    **_convolution.CHEAP,
}
_RIGHT: dict[Function, Function] = {
    torch._weight_norm: _weight_norm,  # pyright: ignore[reportPrivateImportUsage]
    functional.hardsigmoid: _hardsigmoid,
}
_OWN: dict[str, Function] = dict(vars(functional))  # PyTorch's, by name
# Written in Python, and they detach inside: they must be looked into.
_STOPS_INSIDE = {"detach", "no_grad", "_no_grad_embedding_renorm_"}
_OPENED: dict[Any, Function] = {
    f: transparent(f)
    for f in _OWN.values()
    if _STOPS_INSIDE & set(getattr(getattr(f, "__code__", None), "co_names", ()))
}
_grad = transparent(torch.autograd.grad)


def grad(*args: Any, **options: Any) -> Any:
    """``torch.autograd.grad``, our own: no gradient of the user's.

    Raises:
        ValueError: PyTorch has no second derivative of a function.
    """
    try:
        return _grad(*args, **options)
    except RuntimeError as error:
        if (advice := missing_derivative(error)) is None:
            raise
        raise ValueError(advice) from error


class Recording(TorchFunctionMode):
    """Calls another function where PyTorch announces one of a table, and minds stop-gradients.

    Args:
        gate: What stopped values pass.
        table: A function -> what is called in its place.

    Attributes:
        backwards: Set where a backward pass runs under the mode, because it may compute parts of the
            forward pass again: what has no gradient there is then the pass itself, not a `no_grad`.
    """

    def __init__(self, gate: Gate, table: Mapping[Function, Function]):
        super().__init__()
        self._gate, self._table, self.backwards = gate, table, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (instead := self._table.get(func)) is not None:
            func = instead
        elif (stopping := STOPPING.get(func)) is not None:
            with torch.enable_grad():  # under `no_grad`, too
                return stopping(self._gate, *args, **kwargs)
        elif (gated := EMBEDDINGS.get(func)) is not None:
            return gated(self._gate, *args, **kwargs)
        elif func in LEAVING:
            return func(*detached(args), **kwargs)
        elif func is torch.autograd.grad:
            return self._inner_gradient(*args, **kwargs)
        elif func in _OPENED and torch.is_grad_enabled():
            with self:
                return _OPENED[func](*args, **kwargs)
        if torch.is_grad_enabled() or self.backwards:
            return func(*args, **kwargs)
        return without_gradient(self._gate, func, args, kwargs)

    def _inner_gradient(
        self, outputs: Any, inputs: Any, grad_outputs: Any = None, retain_graph: Any = None,
        create_graph: bool = False, **options: Any,
    ) -> Any:  # fmt: skip
        """A gradient within the step; one that is taken without a graph is a stopped value."""
        with self:  # parts of the step may be computed again
            if create_graph:
                return grad(outputs, inputs, grad_outputs, retain_graph, True, **options)
            found = grad(outputs, inputs, grad_outputs, True, True, **options)
        return self._gate.stop_all(found)


def recording(gate: Gate | None = None) -> Recording:
    """Within this block a gradient is recorded that can be differentiated exactly; blocks nest.

    Args:
        gate: What stopped values pass; None is one that stays closed.

    Cannot: reach what a compiled or scripted module calls, or values that leave PyTorch (``item``,
    ``numpy``) and come back; honour a patch of ``torch.nn.functional`` that was made before this
    library was imported and calls what it replaced.
    """
    table = {**_CHEAP, **_RIGHT}
    if vars(functional) != _OWN:
        table |= _patched(table)
    return Recording(gate or Gate(), table)


def valued() -> Recording:
    """Within this block nothing is stopped: for what is judged by its value, and differentiated once."""
    return Recording(Gate(open=True), {})


def _patched(table: Mapping[Function, Function]) -> dict[Function, Function]:
    """What users put in place of PyTorch's functions, each with the function that it replaced.

    Under a mode, a replaced function that is called by its patch announces itself by its name, which
    is now the patch's. The patch has had its turn by then, and must not be called a second time.
    """
    patches, now = dict[Function, Function](), vars(functional)
    for name, own in _OWN.items():
        patch = now.get(name)
        if patch is not own and callable(patch) and not _announces_itself(patch):
            patches[patch] = table.get(own, own)
    return patches


def _announces_itself(function: Function) -> bool:
    """Whether modes hear of this function under its own identity, as of PyTorch's."""
    code = getattr(function, "__code__", None)
    written = code is not None and "handle_torch_function" in code.co_names
    return written or isinstance(function, BuiltinFunctionType)
