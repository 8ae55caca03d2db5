"""Models of images, and of rows: multilayer perceptrons, convolutional networks, LeNet, Wide ResNets."""

import functools
import math
import re
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import is_whole, nearest_name

Shape = tuple[int, int, int]

NAMES = ("mlp", "convnet", "lenet", "wrn-16-1")  # and any wrn-DEPTH-WIDEN


def build(name: str, shape: tuple[int, ...], classes: int) -> Callable[[], nn.Module]:
    """Return a picklable callable that makes a freshly initialised model.

    Args:
        name: One of `NAMES`, or ``"wrn-D-K"`` for a Wide ResNet of depth D = 6n + 4, widened K times.
        shape: ``(C, H, W)`` of one image; or ``(D,)`` of a row, of which only ``"mlp"`` is made.
        classes: Number of logits; 1 for a real target.

    Raises:
        ValueError: If the name is unknown, or the model does not exist in this depth or for this
            shape. Raised here, not when the model is made.

    Example:
        >>> make_model = build("wrn-16-1", (3, 32, 32), classes=10)
        >>> sum(p.numel() for p in make_model().parameters())
        175066
    """
    rows, match = len(shape) == 1, re.fullmatch(r"wrn-(\d+)-(\d+)", name)
    image = cast(Shape, (1, 1, *shape) if rows else tuple(shape))
    _check_shape(image, classes)
    if name == "mlp":
        make = functools.partial(mlp, math.prod(shape), classes)
    elif rows and (name in NAMES or match):
        raise ValueError(
            f"{name!r} is a model of images, but an example is a row of {shape[0]} numbers. Use 'mlp'."
        )
    elif name in ("convnet", "lenet"):
        make = functools.partial(convnet if name == "convnet" else lenet, image, classes)
    elif match:
        make = functools.partial(wrn, int(match[1]), int(match[2]), image, classes)
    else:
        raise ValueError(f"Unknown model {name!r}.{nearest_name(name, (*NAMES, 'wrn-D-K'))}")
    with torch.device("meta"):  # checks every argument; spends neither memory nor random numbers
        make()
    return make


def mlp(inputs: int, classes: int, width: int = 128, depth: int = 1) -> nn.Sequential:
    """Return a ReLU network with ``depth`` hidden layers; zero of them give a linear model.

    Args:
        inputs: Numbers per example, after flattening.
        classes: Number of logits.
        width: Units per hidden layer.
        depth: Hidden layers.
    """
    if min(inputs, classes, width) < 1 or depth < 0:
        raise ValueError(
            f"An MLP needs inputs, classes, width >= 1 and depth >= 0, but got {inputs=}, "
            f"{classes=}, {width=}, {depth=}. For a linear model use depth=0."
        )
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return _initialised(nn.Sequential(*layers, nn.Linear(inputs, classes)), _kaiming)


def convnet(shape: Shape, classes: int, width: int = 16) -> nn.Sequential:
    """Return three blocks 3x3 convolution, BatchNorm, ReLU; then the mean over pixels; linear.

    Widths are w, 2w, 4w. A block halves the image as long as its shorter side stays at four
    pixels or more: 32x32 becomes 16, 8, 4; and 8x8 becomes 4, 4, 4.
    """
    _check_shape(shape, classes)
    if not is_whole(width):
        raise ValueError(
            f"`width` must be a whole number of at least 1, but got {width=}. The default is 16."
        )
    channels, side = shape[0], min(shape[1:])
    layers: list[nn.Module] = []
    for filters in (width, 2 * width, 4 * width):
        stride = 2 if (side + 1) // 2 >= 4 else 1
        # No bias: BatchNorm would subtract it again.
        convolution = nn.Conv2d(channels, filters, 3, stride=stride, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(filters), nn.ReLU()]
        channels, side = filters, (side + stride - 1) // stride
    model = nn.Sequential(*layers, MeanOverPixels(), nn.Linear(channels, classes))
    return _initialised(model, _kaiming)


def lenet(shape: Shape, classes: int) -> nn.Sequential:
    """Return LeNet-5 with ReLU and max pooling: 44,426 parameters for 1x28x28, 10 classes.

    Two unpadded 5x5 convolutions (6 and 16 filters), each pooled 2x2; then layers of 120 and 84
    units. Initialised as in arXiv:2007.07869.

    Raises:
        ValueError: If a side is below 16, where nothing is left after the second pooling.
    """
    _check_shape(shape, classes)
    channels, height, width = shape
    if min(height, width) < 16:
        raise ValueError(
            f"LeNet needs images of at least 16x16 pixels, but got {height}x{width}. Use "
            f"'convnet', or enlarge the images."
        )
    features = 16 * math.prod(((side - 4) // 2 - 4) // 2 for side in (height, width))
    # relu(maxpool(x)) == maxpool(relu(x)), on a quarter of the pixels.
    model = nn.Sequential(
        *(nn.Conv2d(channels, 6, 5), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU()),
        nn.Flatten(),
        *(nn.Linear(features, 120), nn.ReLU()),
        *(nn.Linear(120, 84), nn.ReLU()),
        nn.Linear(84, classes),
    )
    return _initialised(model, nn.init.xavier_normal_)


def wrn(depth: int, widen: int, shape: Shape, classes: int, dropout: float = 0.0) -> nn.Sequential:
    """Return a Wide ResNet with pre-activation: WRN-16-1 has 175,066 parameters for CIFAR-10.

    A 3x3 convolution to 16 channels; three groups of n blocks with 16, 32 and 64 times ``widen``
    channels, the second and third halving the image; BatchNorm, ReLU, mean over pixels, linear.

    Args:
        depth: 6n + 4.
        widen: Factor on the channels of the groups.
        shape: ``(C, H, W)``.
        classes: Number of logits.
        dropout: Probability, between the two convolutions of a block; below 1.

    Raises:
        ValueError: If an argument lies outside these ranges.

    Source: arXiv:1605.07146; initialised as in arXiv:2007.07869 (Xavier).
    """
    _check_shape(shape, classes)
    if depth < 10 or (depth - 4) % 6:
        nearest = max(10, 6 * round((depth - 4) / 6) + 4)
        raise ValueError(
            f"The depth of a Wide ResNet must be 6n + 4 (10, 16, 22, 28, 34, 40, ...), but got "
            f"{depth=}. The nearest is {nearest}."
        )
    if widen < 1 or not 0 <= dropout < 1:
        raise ValueError(
            f"`widen >= 1` and `0 <= dropout < 1` must hold, but got {widen=}, {dropout=}. The "
            f"plainest are widen=1, dropout=0.0."
        )
    channels = 16
    layers: list[nn.Module] = [nn.Conv2d(shape[0], channels, 3, padding=1, bias=False)]
    for filters, stride in ((16 * widen, 1), (32 * widen, 2), (64 * widen, 2)):
        for block in range((depth - 4) // 6):
            layers.append(WideBlock(channels, filters, 1 if block else stride, dropout))
            channels = filters
    layers += [nn.BatchNorm2d(channels), nn.ReLU(), MeanOverPixels(), nn.Linear(channels, classes)]
    return _initialised(nn.Sequential(*layers), nn.init.xavier_normal_)


class MeanOverPixels(nn.Module):
    """``(B, C, H, W)`` to ``(B, C)``. Unlike adaptive pooling, its derivatives are plain sums."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean((2, 3))


class WideBlock(nn.Module):
    """BatchNorm, ReLU, 3x3 convolution, twice, added to the input.

    Where the number of channels or the stride changes, the input passes the first BatchNorm and
    ReLU and then a 1x1 convolution.
    """

    def __init__(self, channels: int, filters: int, stride: int, dropout: float):
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.branch = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(),
            *([nn.Dropout(dropout)] if dropout else []),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False),
        )
        changes = channels != filters or stride != 1
        self.shortcut = nn.Conv2d(channels, filters, 1, stride, bias=False) if changes else None

    def forward(self, inputs: Tensor) -> Tensor:
        active = self.first(inputs)
        return (inputs if self.shortcut is None else self.shortcut(active)) + self.branch(active)


def _check_shape(shape: Shape, classes: int) -> None:
    if len(shape) != 3 or min(shape) < 1 or classes < 1:
        raise ValueError(
            f"A model needs a shape (C, H, W) of positive sizes and classes >= 1, but got "
            f"shape={tuple(shape)}, {classes=}. Give tuple(inputs.shape[1:])."
        )


def _kaiming(weight: Tensor) -> Tensor:
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def _initialised(model: nn.Sequential, draw: Callable[[Tensor], Tensor]) -> nn.Sequential:
    """Draw the weights of all convolutions and linear layers; set their biases to zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model
