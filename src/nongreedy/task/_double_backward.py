"""Layers whose second derivatives cost less than PyTorch's own, chosen while one is recorded."""

from collections.abc import Callable, Mapping
from types import BuiltinFunctionType
from typing import Any

from torch.nn import functional
from torch.overrides import TorchFunctionMode

from . import _batch_norm, _convolution

Function = Callable[..., Any]

# Same values and derivatives as the functions that they stand for.
_CHEAP: dict[Function, Function] = {
    functional.batch_norm: _batch_norm.batch_norm,
    **_convolution.CHEAP,
}
_OWN: dict[str, Function] = dict(vars(functional))  # PyTorch's, by name


class _Instead(TorchFunctionMode):
    """Calls another function where PyTorch announces one of a table, in this thread."""

    def __init__(self, table: Mapping[Function, Function]):
        super().__init__()
        self._table = table

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._table.get(func, func)(*args, **(kwargs or {}))


def cheap_double_backward() -> TorchFunctionMode:
    """Within this block layers record the cheap double backward; blocks nest, one thread each.

    Cannot: reach what a compiled or scripted module calls; honour a patch of ``torch.nn.functional``
    that was made before this library was imported and calls what it replaced.
    """
    return _Instead(_CHEAP if vars(functional) == _OWN else {**_CHEAP, **_patched()})


def _patched() -> dict[Function, Function]:
    """What users put in place of PyTorch's functions, each with the function that it replaced.

    Under a mode, a replaced function that is called by its patch announces itself by its name, which
    is now the patch's. The patch has had its turn by then, and must not be called a second time.
    """
    patches, now = dict[Function, Function](), vars(functional)
    for name, own in _OWN.items():
        patch = now.get(name)
        if patch is not own and callable(patch) and not _announces_itself(patch):
            patches[patch] = _CHEAP.get(own, own)
    return patches


def _announces_itself(function: Function) -> bool:
    """Whether modes hear of this function under its own identity, as of PyTorch's."""
    code = getattr(function, "__code__", None)
    written = code is not None and "handle_torch_function" in code.co_names
    return written or isinstance(function, BuiltinFunctionType)
