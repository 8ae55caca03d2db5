"""The network of the paper, at any width, depth and resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from ..errors import check_number, check_whole
from ..protocols import mix
from ._block import MBConv
from ._gates import Gate
from ._supernet import SuperNet

# (channels, stride of the first) of the five searched groups.
GROUPS = ((24, 2), (40, 2), (80, 2), (96, 1), (192, 2))
STEM, FIRST, LAST = 32, 16, 320
_LEAST = 4  # pixels of the last layers' images: smaller images are halved less often


def search_space(
    *,
    classes: int = 1000,
    in_channels: int = 3,
    resolution: int = 224,
    width: float = 1.0,
    depth: int | Sequence[int] = 4,
    kernels: Sequence[int] = (3, 5),
    expansions: Sequence[float] = (3, 6),
    squeezes: Sequence[bool] = (False,),
    head: int = 1280,
    dropout: float = 0.2,
    activation: Callable[[], nn.Module] = nn.ReLU,
    gate: Gate | None = None,
    seed: int = 0,
) -> SuperNet:
    """The super-network of Single-Path NAS.

    A 3x3 stem, a fixed separable block, five groups of searched layers of which all but the first of
    each may be skipped, a fixed block, a 1x1 head, average pooling, dropout and a classifier. Images
    smaller than 128 pixels are halved less often, the first halvings left out, so that 4 pixels remain.

    Args:
        classes: Outputs.
        in_channels: Of the images.
        resolution: Their height and width, in pixels.
        width: Factor on all numbers of channels but the head's, rounded to multiples of 8.
        depth: Layers in each of the five groups, or one number for each; a group of none is left out.
        kernels, expansions, squeezes: What each searched layer may choose from: :class:`MBConv`.
        head: Channels before the classifier.
        dropout: Before the classifier.
        activation: Makes every activation.
        gate: :class:`ScaleFreeGate` by default.
        seed: Of the initial weights.

    Raises:
        ValueError: Settings that no network can have.

    Source: arXiv:1904.02877, table of its search space.

    Example:
        >>> net = search_space(classes=10, resolution=32, width=0.25, depth=2)
        >>> len(net.space), net(torch.zeros(1, 3, 32, 32)).shape
        (10, torch.Size([1, 10]))
    """
    for name, value in {"classes": classes, "in_channels": in_channels, "head": head}.items():
        check_whole(name, value)
    check_whole("resolution", resolution, _LEAST)
    check_number("width", width)
    depths = _depths(depth)
    halved = _halvings(resolution, depths)
    options = {"kernels": kernels, "expansions": expansions, "squeezes": squeezes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed))
        channels = _rounded(STEM, width)
        layers = [
            nn.Conv2d(in_channels, channels, 3, 1 + halved[0], 1, bias=False),
            nn.BatchNorm2d(channels),
            activation(),
        ]
        first = _rounded(FIRST, width)
        layers.append(_fixed(channels, first, 1, activation))
        channels = first
        for (out, _), count, half in zip(GROUPS, depths, halved[1:], strict=True):
            for place in range(count):
                layers.append(
                    MBConv(
                        channels,
                        _rounded(out, width),
                        stride=1 + (half and place == 0),
                        skippable=place > 0,
                        activation=activation,
                        **options,
                    )
                )
                channels = _rounded(out, width)
        last = _rounded(LAST, width)
        layers.append(_fixed(channels, last, 6, activation))
        layers += [nn.Conv2d(last, head, 1, bias=False), nn.BatchNorm2d(head), activation()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
        layers.append(nn.Linear(head, classes))
        return SuperNet(nn.Sequential(*layers), (in_channels, resolution, resolution), gate)


def _fixed(
    channels: int, out: int, expansion: float, activation: Callable[[], nn.Module]
) -> nn.Module:
    """A layer that is not searched."""
    block = MBConv(channels, out, kernels=(3,), expansions=(expansion,), activation=activation)
    return block.plain(block.options.largest())


def _depths(depth: int | Sequence[int]) -> tuple[int, ...]:
    depths = (depth,) * len(GROUPS) if isinstance(depth, int) else tuple(depth)
    for count in depths:
        check_whole("depth", count, 0)
    if len(depths) != len(GROUPS) or not sum(depths):
        raise ValueError(
            f"`depth` must be a number or one for each of {len(GROUPS)} groups, not all of them zero, "
            f"but got {depth!r}."
        )
    return depths


def _halvings(resolution: int, depths: Sequence[int]) -> list[int]:
    """Whether the stem and each group halve the image: 1 or 0. The last of them are kept."""
    allowed = (resolution // _LEAST).bit_length() - 1
    wanted = [
        1,
        *(
            int(stride == 2 and count > 0)
            for (_, stride), count in zip(GROUPS, depths, strict=True)
        ),
    ]
    for place in range(len(wanted)):
        if sum(wanted) > allowed:
            wanted[place] = 0
    return wanted


def _rounded(channels: int, width: float) -> int:
    """The nearest multiple of 8, and not less than nine tenths of what was asked."""
    asked = channels * width
    rounded = max(8, int(asked + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * asked else rounded
