"""A network with searched layers: one set of weights for every architecture."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ._architecture import Architecture
from ._block import MBConv
from ._gates import Gate, ScaleFreeGate
from ._gating import Gating
from ._space import Space


class SuperNet(nn.Module):
    """A network whose :class:`MBConv` layers are searched.

    Args:
        network: An ordinary module with such layers inside, each of which runs once per forward pass.
        input_shape: Of one example, without the batch.
        gate: From norms of weights to decisions.

    Attributes:
        blocks: The searched layers, in the order in which data pass them.
        shapes: Of their inputs, for one example.
        space: What they may choose from.

    Raises:
        ValueError: No such layer, one that runs twice or never, or a shape that the network does not take.

    Cannot: search layers that run a data-dependent number of times.

    Example:
        >>> net = SuperNet(nn.Sequential(MBConv(4, 4, skippable=True), nn.Flatten()), (4, 8, 8))
        >>> plain = net.plain(net.space.smallest())  # an ordinary nn.Module
        >>> sum(p.numel() for p in plain.parameters())
        0
    """

    def __init__(self, network: nn.Module, input_shape: Sequence[int], gate: Gate | None = None):
        super().__init__()
        self.network, self.input_shape = network, tuple(input_shape)
        self.training = network.training
        seen = _in_order(network, self.input_shape)
        self.shapes = [shape for _, shape in seen]
        self.gating = Gating(gate or ScaleFreeGate())
        self.blocks: Sequence[MBConv] = tuple(block for block, _ in seen)
        for place, block in enumerate(self.blocks):
            block.place, block.gating = place, self.gating
        self.space = Space(tuple(block.options for block in self.blocks))

    def forward(self, x: Tensor) -> Tensor:
        self.gating.refresh(self.blocks)
        return self.network(x)

    @contextmanager
    def fixed(self, architecture: Architecture) -> Iterator[None]:
        """With the gates held at an architecture."""
        self.space.encode(architecture)  # refuses one of another space
        before, self.gating.fixed = self.gating.fixed, architecture
        try:
            yield
        finally:
            self.gating.fixed = before

    def thresholds(self) -> list[nn.Parameter]:
        """Those of all layers that have any."""
        return [block.thresholds for block in self.blocks if block.thresholds.numel()]

    def weights(self) -> list[nn.Parameter]:
        """Every other parameter."""
        of_gates = {id(threshold) for block in self.blocks for threshold in [block.thresholds]}
        return [each for each in self.parameters() if id(each) not in of_gates]

    def architecture(self) -> Architecture:
        """What the gates say now."""
        with torch.no_grad():
            bits = self.gating.refresh(self.blocks)
        return self.space.decode(row.tolist() for row in bits)

    def plain(self, architecture: Architecture) -> nn.Module:
        """The network of an architecture, an ordinary module with copies of its weights.

        In evaluation mode its outputs are those of this network with its gates fixed. In training mode,
        too, except where layers draw at random or are skipped: a skipped layer's BatchNorm goes on
        counting here, and is gone there.

        Raises:
            ValueError: An architecture of another space.
        """
        self.space.encode(architecture)
        # In place of a searched layer the copy holds its choice: such layers are most of the weights.
        pairs = zip(self.blocks, architecture.choices, strict=True)
        return copy.deepcopy(self.network, {id(b): b.plain(choice) for b, choice in pairs})

    def fingerprint(self) -> str:
        """Of the layers and the input's shape: tables of costs are for one."""
        content = f"{self.input_shape}\n{self.network!r}\n{self.space!r}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def run_on(network: nn.Module, x: Tensor) -> None:
    """A forward pass, or a ValueError that quotes the shape of an example."""
    try:
        network(x)
    except (RuntimeError, TypeError, IndexError) as error:
        raise ValueError(
            f"The network does not take an example of shape {tuple(x.shape[1:])} ({error}). `input_shape` "
            "is (channels, height, width), without the batch."
        ) from error


def _in_order(network: nn.Module, shape: tuple[int, ...]) -> list[tuple[MBConv, tuple[int, ...]]]:
    """The searched layers as data pass them, with the shapes of their inputs."""
    blocks = [module for module in network.modules() if isinstance(module, MBConv)]
    if not blocks:
        raise ValueError(
            "This network has no searched layer. Build it with nas.MBConv or nas.search_space, or "
            "convert its inverted residuals and depthwise-separable blocks by nas.searchable."
        )
    seen: list[tuple[MBConv, tuple[int, ...]]] = []

    def note(block: Any, args: tuple[Tensor, ...]) -> None:
        seen.append((block, tuple(args[0].shape[1:])))

    hooks = [block.register_forward_pre_hook(note) for block in blocks]
    modes = [(module, module.training) for module in network.modules()]
    like = next(network.parameters())
    try:
        with torch.no_grad():
            run_on(network.eval(), torch.zeros(1, *shape).to(like))
    finally:
        for module, mode in modes:
            module.training = mode
        for hook in hooks:
            hook.remove()
    if sorted(map(id, blocks)) != sorted(id(block) for block, _ in seen):
        raise ValueError(
            f"Of {len(blocks)} searched layers each must run once per forward pass, but there were "
            f"{len(seen)} runs of {len({id(block) for block, _ in seen})} of them."
        )
    return seen
