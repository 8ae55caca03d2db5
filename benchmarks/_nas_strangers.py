"""Networks for tests and studies of architecture search: the published one, and a stranger's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nongreedy import nas

_A, _B, _C, _D = nas.Choice(3, 3), nas.Choice(5, 6), nas.Choice(5, 3), None
# What the paper found (timm's spnasnet_100): one layer of the first group is skipped.
PUBLISHED = nas.Architecture(
    (_A, _A, _A, _D, _B, _A, _A, _A, _B, _A, _A, _A, _B, _C, _C, _C, _B, _B, _B, _B)
)


class Inverted(nn.Module):
    """As most people write an inverted residual."""

    def __init__(self, channels: int, out: int, stride: int, expansion: int, kernel: int = 3):
        super().__init__()
        inner = channels * expansion
        self.use_residual = stride == 1 and channels == out
        self.layers = nn.Sequential(
            nn.Sequential(
                nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6(True)
            ),
            nn.Sequential(
                nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False),
                nn.BatchNorm2d(inner),
                nn.ReLU6(True),
            ),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.use_residual else self.layers(x)


class Mobile(nn.Module):
    """A small network that nobody here wrote for the search: two kinds of blocks, its own forward."""

    def __init__(self, classes: int, channels: int = 3):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(
            self.separable(8, 12, 1),
            Inverted(12, 12, 1, 4),
            Inverted(12, 16, 2, 4),
            self.separable(16, 16, 1),
            Inverted(16, 16, 1, 6, kernel=5),
        )
        self.classify = nn.Linear(16, classes)

    @staticmethod
    def separable(channels: int, out: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, out, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(torch.flatten(self.body(self.stem(x)).mean((2, 3)), 1))
