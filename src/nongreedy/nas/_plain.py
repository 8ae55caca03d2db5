"""Plain modules, as a decoded network consists of. This file is copied beside an exported network."""

import torch
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Channels weighted by a small network of their means: shape kept."""

    def __init__(self, channels: int, reduced: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.expand = nn.Conv2d(reduced, channels, 1)

    def scale(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3), keepdim=True)
        return torch.sigmoid(self.expand(torch.relu(self.reduce(means))))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x)


class Block(nn.Module):
    """Layers in a row, with their input added where `residual`."""

    def __init__(self, layers: nn.Sequential, residual: bool):
        super().__init__()
        self.layers, self.residual = layers, residual

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)
