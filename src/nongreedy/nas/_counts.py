"""Costs that need no stopwatch: operations, parameters and memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ._space import Space
from ._supernet import SuperNet
from ._table import CostTable

Counter = Callable[[nn.Module, Sequence[int]], float]


def flops(network: SuperNet) -> CostTable:
    """Floating-point operations of a forward pass for one example; a multiplication with addition is two.

    Example:
        >>> from nongreedy import nas
        >>> net = nas.search_space(classes=10, resolution=32, width=0.25, depth=1)
        >>> nas.flops(net).unit
        'FLOPs'
    """
    return counted(network, _operations, "FLOPs")


def parameters(network: SuperNet) -> CostTable:
    """Numbers of parameters."""
    return counted(network, _parameters, "parameters")


def memory(network: SuperNet) -> CostTable:
    """Bytes that a forward pass for one example moves: weights, and what every layer writes.

    Cannot: tell the most that is held at once, which does not add up over layers.
    """
    return counted(network, _bytes, "bytes")


def counted(network: SuperNet, counter: Counter, unit: str) -> CostTable:
    """A table of what a counter says of every choice of every layer."""
    rows = tuple(
        tuple(counter(block.plain(choice), shape) for choice in block.options.choices())
        for block, shape in zip(network.blocks, network.shapes, strict=True)
    )
    table = CostTable(network.space, rows, 0.0, unit, network.fingerprint())
    smallest = network.space.smallest()
    whole = counter(network.plain(smallest), network.input_shape)
    return CostTable(
        Space(network.space.layers), rows, whole - table.total(smallest), unit, table.fingerprint
    )


def _run(module: nn.Module, shape: Sequence[int]) -> None:
    like = next(module.parameters(), torch.zeros(()))
    module.eval()
    with torch.no_grad():
        module(torch.zeros(1, *shape).to(like))


def _operations(module: nn.Module, shape: Sequence[int]) -> float:
    with FlopCounterMode(display=False) as counter:
        _run(module, shape)
    return float(counter.get_total_flops())


def _parameters(module: nn.Module, shape: Sequence[int]) -> float:
    return float(sum(each.numel() for each in module.parameters()))


def _bytes(module: nn.Module, shape: Sequence[int]) -> float:
    moved = [each.numel() * each.element_size() for each in module.parameters()]
    leaves = [each for each in module.modules() if not list(each.children()) and not _is_view(each)]
    hooks = [
        leaf.register_forward_hook(lambda m, a, out: moved.append(out.numel() * out.element_size()))
        for leaf in leaves
    ]
    try:
        _run(module, shape)
    finally:
        for hook in hooks:
            hook.remove()
    return float(sum(moved))


def _is_view(module: nn.Module) -> bool:
    return isinstance(module, (nn.Identity, nn.Flatten, nn.Dropout))
