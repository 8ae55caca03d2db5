"""Everything in float64, where a model or a loss would compute in less.

What people write for float32 (``x.float()``, ``torch.zeros(n)`` as a first state, autocast, a table that is
no buffer) fails in a float64 run, or rounds what a difference of 1e-8 shall tell. A function mode
raises it: the same function, in more digits.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from ._stop_gradient import changes_in_place

_UP = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.complex64: torch.complex128,
}
_HIGH = frozenset(_UP.values())
_TO_DOUBLE = {Tensor.float, Tensor.half, Tensor.bfloat16}
_here = threading.local()


class Raised(TorchFunctionMode):
    """Casts to less become casts to float64; where precisions meet, the lower gives way."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(_here, "asked", False) or _is_internal(func):
            return func(*args, **kwargs)
        func = Tensor.double if func in _TO_DOUBLE else func
        args, kwargs = tree_map(_setting, (args, kwargs))
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if not tensors:  # made from nothing, such as a first state
            made = func(*args, **kwargs)
            return _lifted(made) if not getattr(made, "requires_grad", False) else made
        low = any(x.dtype in _UP for x in tensors)
        if low and any(x.dtype in _HIGH for x in tensors):
            first = 1 if changes_in_place(getattr(func, "__name__", "")) else 0
            args = (*args[:first], *tree_map(_lifted, args[first:]))
            kwargs = {k: v if k == "out" else tree_map(_lifted, v) for k, v in kwargs.items()}
        return func(*args, **kwargs)


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """Nothing is raised in this block: networks are made, and data read, as in any run."""
    before, _here.asked = getattr(_here, "asked", False), True
    try:
        yield
    finally:
        _here.asked = before


def _is_internal(func: Any) -> bool:
    """Of autograd, where a copy is another leaf; or an attribute of a tensor."""
    name, module = getattr(func, "__name__", ""), getattr(func, "__module__", None) or ""
    return name in ("__get__", "__set__", "backward") or module.startswith("torch.autograd")


def _setting(value: Any) -> Any:
    return _UP.get(value, value) if isinstance(value, torch.dtype) else value


def _lifted(value: Any) -> Any:
    return value.to(_UP[value.dtype]) if isinstance(value, Tensor) and value.dtype in _UP else value
