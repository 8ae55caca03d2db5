"""Layers whose second derivatives cost less than PyTorch's own, swapped in while one is recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from torch.nn import functional

from . import _batch_norm, _convolution

# Same values and derivatives as the functions of these names in torch.nn.functional.
_CHEAP: dict[str, Callable[..., Any]] = {
    "batch_norm": _batch_norm.batch_norm,
    **_convolution.CHEAP,
}
_FUSED = {name: getattr(functional, name) for name in _CHEAP}


@contextlib.contextmanager
def cheap_double_backward() -> Iterator[None]:
    """Within this block layers record the cheap double backward."""
    try:
        for name, function in _CHEAP.items():
            setattr(functional, name, function)
        yield
    finally:
        for name, function in _FUSED.items():
            setattr(functional, name, function)
