"""The bits of all layers of a network, computed once per forward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from ._architecture import Architecture, LayerOptions
from ._gates import Gate, rms, straight_through
from ._plain import SqueezeExcite
from ._superkernel import nested_kernel


class Searched(Protocol):
    """What the bits of a layer are computed from."""

    options: LayerOptions
    widths: list[int]
    depthwise: nn.Conv2d
    squeeze: SqueezeExcite | None
    masks: Tensor
    thresholds: nn.Parameter


class Gating:
    """What the blocks of one network share.

    Attributes:
        gate: From norms to distances.
        progress: Of the search, from 0 to 1.
        fixed: An architecture that holds whatever the gates say; None where they decide.
        drop: Factors on the bits of each layer, or None.
        step: From how far weights lie above a threshold to a bit.
        detached: Whether bits are constants, so that a loss pulls on no norm.
        bits: Of each layer, as they were computed last.
    """

    def __init__(self, gate: Gate):
        self.gate, self.progress, self.detached = gate, 0.0, False
        self.step: Callable[[Tensor], Tensor] = straight_through
        self.fixed: Architecture | None = None
        self.drop: Sequence[Tensor] | None = None
        self.bits: list[Tensor] = []

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "bits": []}  # the last forward pass is of no use to a copy

    def refresh(self, blocks: Sequence[Searched]) -> list[Tensor]:
        """Compute the bits of all layers."""
        if self.fixed is not None:
            pairs = zip(blocks, self.fixed.choices, strict=True)
            self.bits = [b.thresholds.new_tensor(b.options.encode(choice)) for b, choice in pairs]
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detached):
                self.bits = self._live(blocks)
        return self.bits

    def _live(self, blocks: Sequence[Searched]) -> list[Tensor]:
        drops = self.drop or [torch.ones_like(block.thresholds) for block in blocks]
        rings = [self._rings(*pair) for pair in zip(blocks, drops, strict=True)]
        kernels = [
            nested_kernel(block.depthwise.weight, block.masks, bits)
            for block, bits in zip(blocks, rings, strict=True)
        ]
        halves = [kernel[: block.widths[0]] for block, kernel in zip(blocks, kernels, strict=True)]
        # A layer has no sibling inside itself: it is compared with the layers of the network.
        across = torch.stack([rms(half) for half in halves]).square().mean().sqrt()
        rows = zip(blocks, drops, rings, kernels, halves, strict=True)
        return [self._rest(*row, across) for row in rows]

    def _rings(self, block: Searched, drop: Tensor) -> list[Tensor]:
        thresholds, *_ = block.options.split(block.thresholds)
        weight, masks = block.depthwise.weight[:, 0], block.masks.bool()
        pairs = enumerate(thresholds, 1)
        bits = [self._bit(weight[:, masks[k]], weight[:, masks[0]], t) for k, t in pairs]
        return [bit * factor for bit, factor in zip(bits, drop, strict=False)]

    def _rest(
        self,
        block: Searched,
        drop: Tensor,
        rings: list[Tensor],
        kernel: Tensor,
        half: Tensor,
        across: Tensor,
    ) -> Tensor:
        _, widths, squeeze, layer = block.options.split(block.thresholds)
        bits, edges = [], block.widths
        for threshold, low, high in zip(widths, edges, edges[1:], strict=False):
            bits.append(self._bit(kernel[low:high], half, threshold))
        if squeeze is not None:
            assert block.squeeze is not None
            pair = block.squeeze.expand.weight, block.squeeze.reduce.weight
            bits.append(self._bit(*pair, squeeze))
        if layer is not None:
            bits.append(self._bit(half, across, layer))
        rest = [bit * factor for bit, factor in zip(bits, drop[len(rings) :], strict=True)]
        return torch.stack([*rings, *rest]) if rings or rest else block.thresholds

    def _bit(self, weights: Tensor, reference: Tensor, threshold: Tensor) -> Tensor:
        return self.step(self.gate.distance(weights, reference, threshold, self.progress))
