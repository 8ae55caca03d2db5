"""A network of a few drawn layers, each with a linear layer before it that gives it its shape."""

import copy
import math

import torch
from torch import Tensor, nn

from .layers import WORDS, Layer, simple_layers
from .sequences import KINDS, sequence_layers

LAYERS: dict[str, Layer] = {**simple_layers(), **sequence_layers()}
INPUTS, WIDEST = 6, 24


def words(x: Tensor) -> Tensor:
    """Each input as one of a few kinds."""
    edges = torch.linspace(-1, 1, KINDS - 1, dtype=x.dtype, device=x.device)
    return torch.bucketize(x, edges)


class Stage(nn.Module):
    """Linear, then the layer; as many numbers out as it gives, or averages of them if too many."""

    def __init__(self, name: str, width: int):
        super().__init__()
        self.name, layer = name, LAYERS[name]
        self.into = nn.Linear(width, math.prod(layer.shape)) if layer.shape != WORDS else None
        self.layer = layer.make()
        self.width = self._width(width)

    def _width(self, width: int) -> int:
        """Told by a copy, since some layers remember what they saw; lazy ones have to."""
        state = torch.get_rng_state()
        with torch.no_grad():
            asked = self if self.name.startswith("Lazy") else copy.deepcopy(self)
            out = asked(torch.randn(4, width), torch.randn(4, INPUTS))
        torch.set_rng_state(state)
        return out.shape[1]

    def forward(self, h: Tensor, x: Tensor) -> Tensor:
        layer = LAYERS[self.name]
        given = words(x) if self.into is None else 2 * self.into(h).view(-1, *layer.shape)
        out = layer.call(self.layer, given).flatten(1)
        if out.shape[1] > WIDEST:
            groups = out.shape[1] // WIDEST
            out = out[:, : groups * WIDEST].view(-1, WIDEST, groups).mean(2)
        return torch.cat([out, h], 1) if self.into is None else out


class Network(nn.Module):
    """Stages one after the other, and a linear layer at the end."""

    def __init__(self, names: tuple[str, ...], outputs: int):
        super().__init__()
        self.stages, width = nn.ModuleList(), INPUTS
        for name in names:
            stage = Stage(name, width)
            self.stages.append(stage)
            width = stage.width
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for stage in self.stages:
            h = stage(h, x)
        return self.last(h)
