"""Every layer of ``torch.nn`` that has one tensor in and one out, in the smallest shape that it takes."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Shape = tuple[int, ...]  # of one example, without the batch
FLAT, LINE, IMAGE, VOLUME, TOKENS = (6,), (4, 6), (4, 4, 4), (2, 3, 3, 3), (3, 4)
WORDS = ()  # whole numbers, made of the network's own inputs


class Layer(NamedTuple):
    """What takes inputs of a shape; `call` says how, where it is not a plain call."""

    shape: Shape
    make: Callable[[], nn.Module]
    call: Callable[[nn.Module, Tensor], Tensor] = lambda layer, h: layer(h)


def _activations() -> Iterable[tuple[str, Layer]]:
    plain = (
        nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh,
        nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU, nn.RReLU, nn.ReLU, nn.ReLU6, nn.SELU,
        nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink,
        nn.GLU, nn.Identity,
    )  # fmt: skip
    yield from ((kind.__name__, Layer(FLAT, kind)) for kind in plain)
    yield "GELU tanh", Layer(FLAT, lambda: nn.GELU("tanh"))
    yield "Threshold", Layer(FLAT, lambda: nn.Threshold(0.1, -0.3))
    for kind in (nn.Softmax, nn.Softmin, nn.LogSoftmax):
        yield kind.__name__, Layer(FLAT, lambda kind=kind: kind(1))
    yield "Softmax2d", Layer(IMAGE, nn.Softmax2d)


def _norms() -> Iterable[tuple[str, Layer]]:
    shapes = {1: LINE, 2: IMAGE, 3: VOLUME}
    for size, shape in shapes.items():
        batch, instance = (getattr(nn, f"{kind}Norm{size}d") for kind in ("Batch", "Instance"))
        channels = shape[0]
        yield batch.__name__, Layer(shape, lambda k=batch, c=channels: k(c))
        yield instance.__name__, Layer(shape, lambda k=instance, c=channels: k(c))
        yield (
            f"{instance.__name__} statistics",
            Layer(
                shape, lambda k=instance, c=channels: k(c, affine=True, track_running_stats=True)
            ),
        )
    yield "BatchNorm1d flat", Layer(FLAT, lambda: nn.BatchNorm1d(6, affine=False))
    yield "BatchNorm2d no momentum", Layer(IMAGE, lambda: nn.BatchNorm2d(4, momentum=None))
    yield "GroupNorm", Layer(IMAGE, lambda: nn.GroupNorm(2, 4))
    yield "LayerNorm", Layer(TOKENS, lambda: nn.LayerNorm(4))
    yield "RMSNorm", Layer(TOKENS, lambda: nn.RMSNorm(4))
    yield "LocalResponseNorm", Layer(IMAGE, lambda: nn.LocalResponseNorm(2, alpha=0.5))
    yield "CrossMapLRN2d", Layer(IMAGE, lambda: nn.CrossMapLRN2d(3, alpha=0.5))


def _convolutions() -> Iterable[tuple[str, Layer]]:
    yield "Conv1d", Layer(LINE, lambda: nn.Conv1d(4, 2, 3))
    yield "Conv2d", Layer(IMAGE, lambda: nn.Conv2d(4, 2, 3, padding=1, groups=2))
    yield (
        "Conv2d circular",
        Layer(IMAGE, lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular")),
    )
    yield "Conv3d", Layer(VOLUME, lambda: nn.Conv3d(2, 2, 2, stride=2))
    yield "ConvTranspose1d", Layer(LINE, lambda: nn.ConvTranspose1d(4, 2, 3, stride=2))
    yield "ConvTranspose2d", Layer(IMAGE, lambda: nn.ConvTranspose2d(4, 2, 2, groups=2))
    yield "ConvTranspose3d", Layer(VOLUME, lambda: nn.ConvTranspose3d(2, 1, 2))


def _poolings() -> Iterable[tuple[str, Layer]]:
    for size, shape in {1: LINE, 2: IMAGE, 3: VOLUME}.items():
        for kind in ("AdaptiveAvg", "AdaptiveMax"):
            pool = getattr(nn, f"{kind}Pool{size}d")
            yield pool.__name__, Layer(shape, lambda pool=pool: pool(2))
        for kind in ("Avg", "Max"):
            pool = getattr(nn, f"{kind}Pool{size}d")
            yield pool.__name__, Layer(shape, lambda pool=pool: pool(2))
        lp = getattr(nn, f"LPPool{size}d")
        yield (
            lp.__name__,
            Layer(shape, lambda pool=lp: pool(3, 2), lambda pool, h: pool(1.1 + h.tanh())),
        )
        unpool, pool = (getattr(nn, f"Max{kind}{size}d") for kind in ("Unpool", "Pool"))
        yield (
            unpool.__name__,
            Layer(
                shape,
                lambda p=pool, u=unpool: nn.ModuleList([p(2, return_indices=True), u(2)]),
                lambda pair, h: pair[1](*pair[0](h), output_size=h.shape),
            ),
        )
    yield "FractionalMaxPool2d", Layer((1, 5, 5), lambda: nn.FractionalMaxPool2d(2, output_size=3))
    yield (
        "FractionalMaxPool3d",
        Layer((1, 5, 5, 5), lambda: nn.FractionalMaxPool3d(2, output_size=3)),
    )


def _shapes() -> Iterable[tuple[str, Layer]]:
    for size, shape in {1: LINE, 2: IMAGE, 3: VOLUME}.items():
        for kind in ("Circular", "Reflection", "Replication", "Zero"):
            pad = getattr(nn, f"{kind}Pad{size}d")
            yield pad.__name__, Layer(shape, lambda pad=pad: pad(1))
        constant = getattr(nn, f"ConstantPad{size}d")
        yield constant.__name__, Layer(shape, lambda pad=constant: pad(1, 0.7))
    for mode, shape in (
        ("nearest", LINE),
        ("linear", LINE),
        ("bicubic", IMAGE),
        ("trilinear", VOLUME),
    ):
        yield (
            f"Upsample {mode}",
            Layer(shape, lambda mode=mode: nn.Upsample(scale_factor=2, mode=mode)),
        )
    yield "UpsamplingBilinear2d", Layer(IMAGE, lambda: nn.UpsamplingBilinear2d(scale_factor=2))
    yield "UpsamplingNearest2d", Layer(IMAGE, lambda: nn.UpsamplingNearest2d(scale_factor=2))
    yield "PixelShuffle", Layer(IMAGE, lambda: nn.PixelShuffle(2))
    yield "PixelUnshuffle", Layer(IMAGE, lambda: nn.PixelUnshuffle(2))
    yield "ChannelShuffle", Layer(IMAGE, lambda: nn.ChannelShuffle(2))
    yield "Fold", Layer((4, 9), lambda: nn.Fold((4, 4), 2))
    yield "Unfold", Layer(IMAGE, lambda: nn.Unfold(2))
    yield "Flatten", Layer(TOKENS, nn.Flatten)
    yield "Unflatten", Layer(FLAT, lambda: nn.Unflatten(1, (2, 3)))


def _dropouts() -> Iterable[tuple[str, Layer]]:
    rows = {nn.Dropout: FLAT, nn.Dropout1d: LINE, nn.Dropout2d: IMAGE, nn.Dropout3d: VOLUME}
    for kind, shape in {**rows, nn.AlphaDropout: FLAT, nn.FeatureAlphaDropout: LINE}.items():
        yield kind.__name__, Layer(shape, lambda kind=kind: kind(0.3))


def _linears() -> Iterable[tuple[str, Layer]]:
    yield "Linear", Layer(FLAT, lambda: nn.Linear(6, 5))
    yield "Bilinear", Layer(FLAT, lambda: nn.Bilinear(6, 6, 3), lambda layer, h: layer(h, h.sin()))
    for kind in (nn.CosineSimilarity, nn.PairwiseDistance):
        yield kind.__name__, Layer(LINE, kind, lambda layer, h: layer(h, h.roll(1, 1)))
    yield (
        "AdaptiveLogSoftmaxWithLoss",
        Layer(
            FLAT,
            lambda: nn.AdaptiveLogSoftmaxWithLoss(6, 8, [4], div_value=2.0),
            lambda layer, h: layer.log_prob(h),
        ),
    )
    yield "Sequential", Layer(FLAT, lambda: nn.Sequential(nn.Linear(6, 4), nn.Tanh()))
    yield (
        "ModuleDict",
        Layer(FLAT, lambda: nn.ModuleDict({"a": nn.Linear(6, 4)}), lambda part, h: part["a"](h)),
    )
    yield (
        "ModuleList",
        Layer(
            FLAT,
            lambda: nn.ModuleList([nn.Linear(6, 4), nn.Linear(6, 4)]),
            lambda parts, h: parts[0](h) * parts[1](h),
        ),
    )
    yield (
        "ParameterList",
        Layer(
            FLAT,
            lambda: nn.ParameterList([torch.rand(6), torch.rand(6)]),
            lambda weights, h: torch.tanh(h * weights[0]) + weights[1],
        ),
    )
    yield (
        "ParameterDict",
        Layer(
            FLAT,
            lambda: nn.ParameterDict({"gain": torch.rand(6)}),
            lambda weights, h: torch.tanh(h * weights["gain"]),
        ),
    )


def _tied() -> nn.Module:
    layers = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    layers[2].weight = layers[0].weight
    return layers


def _parametrized() -> Iterable[tuple[str, Layer]]:
    norms = {
        "weight_norm": parametrizations.weight_norm,
        "spectral_norm": parametrizations.spectral_norm,
        "orthogonal": parametrizations.orthogonal,
        "old spectral_norm": nn.utils.spectral_norm,
    }
    for name, norm in norms.items():
        yield f"Linear {name}", Layer(FLAT, lambda norm=norm: norm(nn.Linear(6, 4)))
    for name in ("weight_norm", "spectral_norm"):
        norm = norms[name]
        yield f"Conv2d {name}", Layer(IMAGE, lambda norm=norm: norm(nn.Conv2d(4, 2, 3)))
    yield "Linear tied", Layer(FLAT, _tied)


def _lazy() -> Iterable[tuple[str, Layer]]:
    yield "LazyLinear", Layer(FLAT, lambda: nn.LazyLinear(4))
    for size, shape in {1: LINE, 2: IMAGE, 3: VOLUME}.items():
        for kind in ("Conv", "ConvTranspose"):
            layer = getattr(nn, f"Lazy{kind}{size}d")
            yield layer.__name__, Layer(shape, lambda layer=layer: layer(2, 2))
        for kind in ("Batch", "Instance"):
            layer = getattr(nn, f"Lazy{kind}Norm{size}d")
            yield layer.__name__, Layer(shape, lambda layer=layer: layer(affine=True))


def simple_layers() -> dict[str, Layer]:
    """All of these by name; the first word of a name is that of the class."""
    groups = (
        _activations, _norms, _convolutions, _poolings, _shapes, _dropouts, _linears, _parametrized,
        _lazy,
    )  # fmt: skip
    return {name: layer for group in groups for name, layer in group()}
