"""What a search is asked for, checked before anything is spent."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from ..errors import DataError, check_number
from ._backends import Backend
from ._data import Data
from ._levels import Level
from ._stopwatch import Stopwatch
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Recipe, smoothed

_KINDS: dict[str, tuple[type, str]] = {
    "table": (CostTable, "a nas.CostTable: nas.profile measures one, nas.CostTable.load reads one"),
    "backend": (Backend, "nas.Eager() or nas.OnnxRuntime()"),
    "stopwatch": (Stopwatch, "a nas.Stopwatch"),
    "recipe": (Recipe, "a nas.Recipe, such as nas.Recipe(steps=100)"),
    "final": (Recipe, "a nas.Recipe, such as nas.Recipe(steps=100)"),
    "level": (Level, "nas.Validated() or nas.Joint()"),
}


def check_asked(network: Any, **given: Any) -> None:
    """Raise unless the network is a finite super-network, and what was given is of its kind.

    Raises:
        TypeError: Another module; a file's name in place of a table, and the like.
        ValueError: Weights that are not finite, as a search that diverged leaves them.
    """
    if not isinstance(network, SuperNet):
        raise TypeError(
            "`network` must be a nas.SuperNet, as nas.searchable(model, input_shape) makes one of your "
            f"network, but got {type(network).__name__}."
        )
    for name, value in given.items():
        kind, wanted = _KINDS[name]
        if value is not None and not isinstance(value, kind):
            got = repr(value) if isinstance(value, (str, int, float)) else type(value).__name__
            raise TypeError(f"`{name}` must be {wanted}, but got {got}.")
    for name, each in network.state_dict().items():
        if not each.isfinite().all():
            raise ValueError(
                f"The network's {name!r} is not finite: a search that diverged has trained it. "
                "Make the network anew."
            )


def check_target(table: CostTable, target: float) -> None:
    """Refuse a target below the cheapest network; warn of one above the most expensive."""
    check_number("target", target, f" It is in the table's unit, {table.unit}.")
    low, high = (table.total(each) for each in table.extremes())
    if target < low:
        raise ValueError(
            f"No network of this space costs only {target:g} {table.unit}: the cheapest takes {low:.4g}, "
            f"the most expensive {high:.4g}. Raise `target`, or make the space narrower or shallower."
        )
    if target > high:
        warnings.warn(
            f"Every network of this space meets {target:g} {table.unit}: the largest takes {high:.4g}. "
            "There is nothing to give up.",
            stacklevel=3,
        )


def check_examples(network: SuperNet, recipe: Recipe, **data: Data) -> None:
    """Raise DataError where examples do not fit the network, or targets the default loss."""
    for name, each in data.items():
        shape = tuple(each.inputs.shape[1:])
        if shape != network.input_shape:
            raise DataError(
                f"Examples of `{name}` have shape {shape}, but the network was made for "
                f"{network.input_shape}."
            )
        if len(each) < 2:
            raise DataError(f"`{name}` has a single example: BatchNorm needs two.")
        if recipe.loss is smoothed:
            _check_classes(name, each, _outputs(network, each))


def _check_classes(name: str, data: Data, outputs: int) -> None:
    targets = data.targets
    if targets.is_floating_point():
        if targets.dim() > 1:  # shares of classes, which cross-entropy takes
            return
        raise DataError(
            f"Targets of `{name}` must be numbers of classes, but are {targets.dtype}. For a regression "
            "give Recipe(loss=...)."
        )
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= outputs:
        raise DataError(
            f"Targets of `{name}` are from {low} to {high}, but the network has {outputs} outputs, for "
            f"classes from 0 to {outputs - 1}."
        )


def _outputs(network: SuperNet, data: Data) -> int:
    plain: nn.Module = network.plain(network.space.smallest()).eval()
    with torch.no_grad():
        return plain(data.inputs[:1]).shape[1]
