"""Nests: tensors, and tuples, lists and mappings of them, as data and models have them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ._streams import mix


def each(nest: Any, act: Callable[[Tensor], Any]) -> Any:
    """The same nest with something done to each of its tensors; what else it holds stays."""
    if isinstance(nest, Tensor):
        return act(nest)
    if isinstance(nest, Mapping):
        return {key: each(value, act) for key, value in nest.items()}
    if isinstance(nest, (tuple, list)):
        parts = [each(value, act) for value in nest]
        return type(nest)(*parts) if hasattr(nest, "_fields") else type(nest)(parts)
    return nest


def leaves(nest: Any) -> Iterator[Any]:
    """What a nest holds, tensors and others, from left to right."""
    if isinstance(nest, Mapping):
        nest = list(nest.values())
    if not isinstance(nest, (tuple, list)):
        yield nest
        return
    for value in nest:
        yield from leaves(value)


def detached(nest: Any) -> Any:
    """The same without graphs, also in what PyTorch takes for a nest, such as a model's output."""
    return tree_map(lambda x: x.detach() if isinstance(x, Tensor) else x, nest)


def tensors(nest: Any) -> list[Tensor]:
    """The tensors of a nest."""
    return [leaf for leaf in leaves(nest) if isinstance(leaf, Tensor)]


def to_device(batch: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Move tensors to the device, floating-point ones also to the dtype; keep nested structure."""
    return each(batch, lambda t: t.to(device, dtype) if t.is_floating_point() else t.to(device))


def taken(nest: Any, indices: Tensor | Sequence[int] | slice) -> Any:
    """A copy of these rows of every tensor, wherever it lies: models and losses change what they are
    given in place, and a slice would be the user's own data."""

    def rows(part: Tensor) -> Tensor:
        if isinstance(indices, slice):
            return part[indices].clone()
        return part[indices.to(part.device) if isinstance(indices, Tensor) else indices]

    return each(nest, rows)


def checksum(value: Any) -> int:
    """A 63-bit digest of the exact bits of a nest of tensors; sensitive to order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return mix(*map(checksum, value))
    if not isinstance(value, Tensor):
        return mix(*str(value).encode())
    return mix(int(digest(value)), value.numel())


def digest(tensor: Tensor) -> Tensor:
    """Of a tensor's exact bits, shape (), int64, where it is: nothing is read."""
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    raw = torch.nn.functional.pad(raw, (0, -len(raw) % 8)).view(torch.int64)
    position = torch.arange(1, len(raw) + 1, device=raw.device)
    # Wrap-around integer arithmetic: exact, so equal bits give equal sums on any device.
    return (raw * (2 * position + 1)).sum()
