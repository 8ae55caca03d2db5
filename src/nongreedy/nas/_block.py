"""A mobile inverted bottleneck in which kernel, expansion, squeeze and presence are searched."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._architecture import Choice, LayerOptions
from ._gates import ScaleFreeGate
from ._gating import Gating
from ._plain import Block, SqueezeExcite
from ._superkernel import channel_mask, nested_kernel, ring_masks


@dataclass
class Parts:
    """The layers of a block at its largest choice."""

    depthwise: nn.Conv2d
    depthwise_norm: nn.BatchNorm2d
    depthwise_activation: nn.Module
    project: nn.Conv2d
    project_norm: nn.BatchNorm2d
    project_activation: nn.Module
    expand: nn.Conv2d | None = None
    expand_norm: nn.BatchNorm2d | None = None
    expand_activation: nn.Module | None = None
    squeeze: SqueezeExcite | None = None


class MBConv(nn.Module):
    r"""Expand by 1x1, convolve each channel, squeeze and excite, project by 1x1: one superkernel.

    Every choice is a part of the same weights. Channels are masked after their activation, so that
    what is masked adds nothing, and BatchNorm sees the values that a channel would have, never zeros.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        stride: Of the depthwise convolution.
        kernels: Odd sizes of the depthwise kernel, rising.
        expansions: Channels inside per channel of the input, rising.
        squeezes: (False,), (True,), or (False, True) to search for it.
        skippable: Whether the layer may be left out; needs stride 1 and equal widths.
        activation: Makes the activation of a layer.

    Raises:
        ValueError: Options that no layer can have.

    Source: arXiv:1904.02877; squeeze-and-excitation arXiv:1907.00959, its gate this library's.

    Cannot: be used alone where its gates are to decide: :class:`SuperNet` computes the bits of all
    layers before a forward pass. Alone it is at its largest choice.

    Example:
        >>> block = MBConv(8, 8, kernels=(3, 5, 7), expansions=(2, 4), skippable=True)
        >>> block.options.gates
        ('kernel 5', 'kernel 7', 'expansion 4', 'layer')
        >>> block(torch.zeros(2, 8, 6, 6)).shape
        torch.Size([2, 8, 6, 6])
    """

    depthwise: nn.Conv2d
    depthwise_norm: nn.Module
    depthwise_activation: nn.Module
    project: nn.Conv2d
    project_norm: nn.Module
    project_activation: nn.Module
    expand: nn.Conv2d | None
    expand_norm: nn.Module
    expand_activation: nn.Module
    squeeze: SqueezeExcite | None
    masks: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        stride: int = 1,
        kernels: Sequence[int] = (3, 5),
        expansions: Sequence[float] = (3, 6),
        squeezes: Sequence[bool] = (False,),
        skippable: bool = False,
        activation: Callable[[], nn.Module] = nn.ReLU,
    ):
        options = LayerOptions(tuple(kernels), tuple(expansions), tuple(squeezes), skippable)
        hidden = _widths(options.expansions, in_channels)[-1]
        size = options.kernels[-1]
        squeeze = SqueezeExcite(hidden, max(1, in_channels // 4)) if any(squeezes) else None
        if squeeze is not None:  # as large as its sibling, with which its gate compares it
            nn.init.normal_(squeeze.expand.weight, std=squeeze.reduce.weight.std().item())
        expanded = options.expansions != (1,)
        parts = Parts(
            nn.Conv2d(hidden, hidden, size, stride, size // 2, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            activation(),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.Identity(),
            nn.Conv2d(in_channels, hidden, 1, bias=False) if expanded else None,
            nn.BatchNorm2d(hidden) if expanded else None,
            activation() if expanded else None,
            squeeze,
        )
        self._assemble(parts, options, stride == 1 and in_channels == out_channels, in_channels)

    @classmethod
    def around(cls, parts: Parts, options: LayerOptions, residual: bool) -> MBConv:
        """A block of layers that exist already."""
        block = cls.__new__(cls)
        inner = parts.depthwise if parts.expand is None else parts.expand
        block._assemble(parts, options, residual, inner.in_channels)
        return block

    def _assemble(
        self, parts: Parts, options: LayerOptions, residual: bool, in_channels: int
    ) -> None:
        super().__init__()
        for name, module in vars(parts).items():
            setattr(self, name, module)
        self.training = parts.depthwise.training
        same = parts.depthwise.stride == (1, 1) and in_channels == parts.project.out_channels
        if options.skippable and not same:
            raise ValueError(
                "Only a layer of stride 1 with as many channels out as in can be left out, but "
                f"`skippable` is set for stride {parts.depthwise.stride} and {in_channels} -> "
                f"{parts.project.out_channels} channels."
            )
        self.options, self.residual = options, residual
        self.in_channels, self.widths = in_channels, _widths(options.expansions, in_channels)
        self.register_buffer("masks", ring_masks(options.kernels), persistent=False)
        self.thresholds = nn.Parameter(torch.zeros(len(options.gates)))
        self.place = -1  # which of the network's searched layers this is
        self.gating = Gating(ScaleFreeGate())

    def forward(self, x: Tensor) -> Tensor:
        bits = self.gating.bits[self.place] if self.place >= 0 else torch.ones_like(self.thresholds)
        kernel_bits, width_bits, squeeze_bit, layer_bit = self.options.split(bits)
        if layer_bit is not None and self.gating.fixed is not None and not layer_bit:
            return x
        inner = x
        if self.expand is not None:
            inner = self.expand_activation(self.expand_norm(self.expand(x)))
        kernel = nested_kernel(self.depthwise.weight, self.masks, kernel_bits)
        layer = self.depthwise
        inner = F.conv2d(
            inner, kernel, layer.bias, layer.stride, layer.padding, groups=layer.groups
        )
        inner = self.depthwise_activation(self.depthwise_norm(inner))
        if width_bits:
            inner = inner * channel_mask(width_bits, self.widths, inner)[:, None, None]
        if self.squeeze is not None:
            scale = self.squeeze.scale(inner)
            inner = inner * (scale if squeeze_bit is None else 1 + squeeze_bit * (scale - 1))
        out = self.project_activation(self.project_norm(self.project(inner)))
        if layer_bit is not None:
            out = layer_bit * out if self.residual else layer_bit * out + (1 - layer_bit) * x
        return x + out if self.residual else out

    def plain(self, choice: Choice | None) -> nn.Module:
        """The layer of this choice alone, an ordinary module with copies of its weights."""
        self.options.encode(choice)  # refuses what is none of the options
        if choice is None:
            return nn.Identity()
        hidden = self.widths[self.options.expansions.index(choice.expansion)]
        layers: list[nn.Module] = []
        if self.expand is not None:
            layers += [_conv(self.expand, hidden, None), _norm(self.expand_norm, hidden)]
            layers.append(copy.deepcopy(self.expand_activation))
        layers += [_depthwise(self.depthwise, hidden, choice.kernel)]
        layers += [_norm(self.depthwise_norm, hidden), copy.deepcopy(self.depthwise_activation)]
        if choice.squeeze:
            layers.append(_squeeze(self.squeeze, hidden))
        layers += [_conv(self.project, None, hidden), copy.deepcopy(self.project_norm)]
        if not isinstance(self.project_activation, nn.Identity):
            layers.append(copy.deepcopy(self.project_activation))
        return Block(nn.Sequential(*layers), self.residual).train(self.training)


def _widths(expansions: Sequence[float], in_channels: int) -> list[int]:
    return [max(1, round(expansion * in_channels)) for expansion in expansions]


def _filled(make: Callable[[], nn.Module], **tensors: Tensor | None) -> nn.Module:
    """A module with copies of these tensors; none of its own is drawn or allocated."""
    with torch.device("meta"):
        part = make()
    kept = {name: value.detach().clone() for name, value in tensors.items() if value is not None}
    part.load_state_dict(kept, assign=True)
    for name, parameter in part.named_parameters():  # what was detached is to be trained again
        setattr(part, name, nn.Parameter(parameter.data))
    return part


def _conv(whole: nn.Conv2d, out_channels: int | None, in_channels: int | None) -> nn.Module:
    """The first channels of a 1x1 convolution; None is all."""
    weight = whole.weight[:out_channels, :in_channels]
    bias = None if whole.bias is None else whole.bias[:out_channels]
    make = lambda: nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)  # noqa: E731
    return _filled(make, weight=weight, bias=bias)


def _depthwise(whole: nn.Conv2d, hidden: int, kernel: int) -> nn.Module:
    edge = (whole.kernel_size[0] - kernel) // 2
    weight = whole.weight[:hidden, :, edge : edge + kernel, edge : edge + kernel]
    bias = None if whole.bias is None else whole.bias[:hidden]
    stride, padding = whole.stride[0], kernel // 2
    make = lambda: nn.Conv2d(  # noqa: E731
        hidden, hidden, kernel, stride, padding, groups=hidden, bias=bias is not None
    )
    return _filled(make, weight=weight, bias=bias)


def _norm(whole: nn.Module | None, hidden: int) -> nn.Module:
    assert isinstance(whole, nn.BatchNorm2d)
    names = ("eps", "momentum", "affine", "track_running_stats")
    settings = {name: getattr(whole, name) for name in names}
    kept = {name: v[:hidden] if v.dim() else v for name, v in whole.state_dict().items()}
    return _filled(lambda: nn.BatchNorm2d(hidden, **settings), **kept)


def _squeeze(whole: SqueezeExcite | None, hidden: int) -> SqueezeExcite:
    assert whole is not None
    with torch.device("meta"):
        part = SqueezeExcite(hidden, whole.reduce.out_channels)
    part.reduce = _conv(whole.reduce, None, hidden)  # pyright: ignore
    part.expand = _conv(whole.expand, hidden, None)  # pyright: ignore
    return part
