"""From a network of the user's own to one whose blocks are searched."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ._architecture import LayerOptions
from ._block import MBConv, Parts
from ._gates import Gate
from ._supernet import SuperNet, run_on

_SILENT = (nn.Dropout, nn.Dropout2d, nn.Identity)
_CLOSE = 1e-4  # relative: float32, summed in another order


def searchable(
    model: nn.Module,
    input_shape: Sequence[int],
    *,
    kernels: Sequence[int] = (3, 5),
    shares: Sequence[float] = (0.5, 1.0),
    gate: Gate | None = None,
) -> SuperNet:
    """Make the blocks of a network searchable; the network itself is left as it is.

    Blocks are modules whose layers are, in this order, [1x1 convolution, BatchNorm, activation,] depthwise
    convolution, BatchNorm, activation, 1x1 convolution, BatchNorm[, activation], with or without a
    residual. Each is recognised by its layers, and converted only where its output on random
    numbers is that of these layers. Weights are kept; only the taps of larger kernels are drawn anew.

    Args:
        model: Of any class, with blocks as modules of their own.
        input_shape: Of one example, without the batch.
        kernels: Sizes to choose from beside each block's own.
        shares: Of each block's expanded channels, at most 1; blocks without an expansion keep their width.
        gate: :class:`ScaleFreeGate` by default.

    Raises:
        ValueError: A network without such blocks, with what it has; a shape that it does not take.
        TypeError: Something that is no module.

    Cannot: recognise blocks that are written out in one long Sequential, nor those with
    squeeze-and-excitation or dilation: they stay as they are.

    Example:
        >>> block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU(),
        ...                       nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
        >>> searchable(nn.Sequential(block, nn.Flatten()), (8, 6, 6)).space.size
        3
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be an nn.Module, but got {model!r:.60}. Make one: Net().")
    if not (shares and shares[0] > 0 and shares[-1] == 1 and sorted({*shares}) == [*shares]):
        raise ValueError(
            "`shares` must be positive, rise, and end with 1, a block's own width, but got "
            f"{tuple(shares)!r}."
        )
    network = copy.deepcopy(model)
    matches = dict(_matches(network))
    watched = _watched(network, matches, tuple(input_shape))
    converted: list[str] = []
    for name, layers in matches.items():
        inside_another = any(name.startswith(f"{outer}.") for outer in converted)
        residual = (
            None if inside_another or name not in watched else _residual(layers, *watched[name])
        )
        if residual is None:
            continue
        block = _converted(layers, residual, kernels, shares)
        if name:
            network.set_submodule(name, block)
        else:
            network = block
        converted.append(name)
    if not converted:
        raise ValueError(_nothing(model))
    return SuperNet(network, input_shape, gate)


def _matches(network: nn.Module) -> Iterator[tuple[str, list[nn.Module]]]:
    """Modules whose leaves are those of a block, the outermost first."""
    for name, module in network.named_modules():
        leaves = [
            each
            for each in module.modules()
            if not list(each.children()) and not isinstance(each, _SILENT)
        ]
        if _is_block(leaves):
            yield name, leaves


def _is_block(leaves: Sequence[nn.Module]) -> bool:
    kinds = "".join(_kind(leaf) for leaf in leaves)
    return kinds in ("pnadnapn", "pnadnapna", "dnapn", "dnapna")


def _kind(leaf: nn.Module) -> str:
    """p: 1x1, d: depthwise, n: BatchNorm, a: without parameters, perhaps an activation; ?: others."""
    if isinstance(leaf, nn.Conv2d):
        if leaf.kernel_size == (1, 1) and leaf.groups == 1 and leaf.stride == (1, 1):
            return "p" if leaf.padding == (0, 0) else "?"
        size, rows = leaf.kernel_size[0], leaf.in_channels
        plain = leaf.dilation == (1, 1) and leaf.padding_mode == "zeros" and size % 2 == 1
        square = leaf.kernel_size == (size, size) and leaf.padding == (size // 2, size // 2)
        per_channel = leaf.groups == rows == leaf.out_channels and leaf.stride[0] == leaf.stride[1]
        return "d" if plain and square and per_channel else "?"
    if isinstance(leaf, nn.BatchNorm2d):
        return "n"
    pooled = isinstance(leaf, (nn.AdaptiveAvgPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.Flatten))
    return "?" if pooled or next(leaf.parameters(), None) is not None else "a"


def _watched(
    network: nn.Module, matches: dict[str, list[nn.Module]], shape: tuple[int, ...]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Input and output of modules that run once, on random numbers."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in matches}
    modules = dict(network.named_modules())

    inputs: dict[str, Tensor] = {}

    def before(name: str) -> Any:
        def note(module: nn.Module, args: tuple) -> None:
            if args:  # one that is called by names alone is no block in a row
                inputs[name] = args[0].clone()  # activations may work in place

        return note

    def after(name: str) -> Any:
        def note(module: nn.Module, args: tuple, out: Any) -> None:
            if name in inputs and isinstance(out, Tensor):
                seen[name].append((inputs[name], out.clone()))

        return note

    hooks = []
    for name in matches:
        hooks.append(modules[name].register_forward_pre_hook(before(name)))
        hooks.append(modules[name].register_forward_hook(after(name)))
    modes = [(module, module.training) for module in network.modules()]
    like = next(network.parameters())
    draw = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            run_on(network.eval(), draw.to(like))
    finally:
        for module, mode in modes:
            module.training = mode
        for hook in hooks:
            hook.remove()
    return {name: runs[0] for name, runs in seen.items() if len(runs) == 1}


def _residual(layers: Sequence[nn.Module], x: Tensor, y: Tensor) -> bool | None:
    """Whether the block adds its input; None where it computes something else than its layers."""
    with torch.no_grad():
        row = nn.Sequential(*(copy.deepcopy(layer).eval() for layer in layers))
        expected = row(x.clone())
    if expected.shape != y.shape:
        return None
    allowed = _CLOSE * (1 + y.abs().max())
    if (expected - y).abs().max() <= allowed:
        return False
    if x.shape == y.shape and (x + expected - y).abs().max() <= allowed:
        return True
    return None


def _converted(
    layers: Sequence[nn.Module], residual: bool, kernels: Sequence[int], shares: Sequence[float]
) -> MBConv:
    first = _kind(layers[0]) == "p"
    rest = list(layers[3:] if first else layers)
    own = rest[0]
    assert isinstance(own, nn.Conv2d)
    sizes = tuple(sorted({*kernels, own.kernel_size[0]}))
    rest[0] = _enlarged(own, sizes[-1])
    last = rest[5] if len(rest) == 6 else nn.Identity()
    parts = Parts(*rest[:5], last, *(layers[:3] if first else ()))  # pyright: ignore
    inner, project = layers[0] if first else own, rest[3]
    assert isinstance(inner, nn.Conv2d) and isinstance(project, nn.Conv2d)
    ratio = own.in_channels / inner.in_channels
    expansions = tuple(ratio * share for share in shares) if first else (1,)
    same = own.stride == (1, 1) and inner.in_channels == project.out_channels
    return MBConv.around(parts, LayerOptions(sizes, expansions, (False,), same), residual)


@torch.no_grad()
def _enlarged(own: nn.Conv2d, size: int) -> nn.Conv2d:
    """The depthwise convolution in a larger kernel, whose outer taps are as large as its own."""
    channels, edge = own.in_channels, (size - own.kernel_size[0]) // 2
    whole = nn.Conv2d(
        channels, channels, size, own.stride[0], size // 2, groups=channels, bias=own.bias is not None
    ).to(own.weight)  # fmt: skip
    draw = torch.randn(whole.weight.shape, generator=torch.Generator().manual_seed(channels))
    whole.weight.copy_(draw.to(own.weight) * own.weight.square().mean().sqrt())
    inside = slice(edge, size - edge)
    whole.weight[:, :, inside, inside] = own.weight
    if own.bias is not None and whole.bias is not None:
        whole.bias.copy_(own.bias)
    return whole.train(own.training)


def _nothing(model: nn.Module) -> str:
    convolutions = [each for each in model.modules() if isinstance(each, nn.Conv2d)]
    depthwise = sum(_kind(each) == "d" for each in convolutions)
    return (
        f"{type(model).__name__} has no block that can be searched: of {len(convolutions)} convolutions "
        f"{depthwise} are depthwise, and none stands in a module of its own with BatchNorm, activation "
        "and a 1x1 convolution behind it. Give such blocks a module each, or build the network with "
        "nas.MBConv or nas.search_space."
    )
