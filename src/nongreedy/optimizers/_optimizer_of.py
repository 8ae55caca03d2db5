"""The optimizer of this library that does what one of ``torch.optim`` does."""

import itertools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import nn

from ..schedules import Basis
from ._grouped import Grouped
from ._mistakes import counterpart, settings_of
from ._optimizer import Optimizer
from ._patterns import VECTORS, group_of

# Of torch's, those that make another update, unless ours has a field of the name.
_OTHERWISE = ("amsgrad", "maximize", "centered", "lr_decay", "initial_accumulator_value")
_DECOUPLED = "decoupled_weight_decay"  # of torch's Adam and NAdam; its AdamW says so of itself


def optimizer_of(
    optimizer: torch.optim.Optimizer, model: nn.Module, **changed: Basis | float
) -> Optimizer:
    """What trains as an optimizer of ``torch.optim`` does, with its groups; its numbers are fixed.

    Args:
        optimizer: As it is before its first step, such as of ``trainer.create_optimizer()`` or
            ``module.configure_optimizers()``.
        model: Whose parameters it has.
        changed: Settings in place of its own for all parameters that no group sets apart: what is to be
            learned, and bounds of gradients, which ``torch.optim`` knows nothing of.

    Raises:
        TypeError: An optimizer that has no counterpart, by the one that is nearest.
        ValueError: A setting that has none (``amsgrad``), or groups that no pattern of names tells.

    Example:
        >>> layer = nn.Linear(3, 2)
        >>> groups = [{"params": [layer.weight]}, {"params": [layer.bias], "weight_decay": 0.0}]
        >>> made = ng.optimizer_of(torch.optim.AdamW(groups, lr=0.1), layer,
        ...                        learning_rate=ng.Linear(5, initial=0.1), clip_norm=1.0)
        >>> made.groups
        {'vectors': {'weight_decay': 0.0}}
    """
    optimizer = getattr(optimizer, "optimizer", optimizer)  # of accelerate's wrapper
    kind = counterpart(optimizer, Optimizer)
    trained = [g for g in optimizer.param_groups if any(p.requires_grad for p in g["params"])]
    for group in trained:
        _check(group, kind)
    rows = [settings_of(group, kind) for group in trained]
    for row in rows:  # without momentum, torch dampens nothing
        if row.get("dampening") and not row["momentum"] and "momentum" not in changed:
            row["dampening"] = 0.0
    patterns = _patterns(trained, model)
    rest = patterns.index(None) if None in patterns else 0
    base: Any = kind(**{**rows[rest], **changed})
    for row in rows:
        for name in row.keys() - base.learnable.keys():
            if row[name] != rows[rest][name]:
                raise ValueError(
                    f"The optimizer's groups differ in {name!r} ({rows[rest][name]!r} and {row[name]!r}), "
                    "which ng.Grouped cannot set for one of them. Give all groups the same."
                )
    groups = {
        str(pattern): own
        for pattern, row in zip(patterns, rows, strict=True)
        if (own := {n: v for n, v in row.items() if n in base.learnable and v != rows[rest][n]})
    }
    return Grouped(base, groups) if groups else base


def _check(group: Mapping[str, Any], kind: type) -> None:
    known = {row.name for row in fields(kind)}
    refused = [name for name in _OTHERWISE if name not in known]
    refused += [_DECOUPLED] if "decoupled" not in known and kind.__name__ != "AdamW" else []
    for name in refused:
        if group.get(name):
            raise ValueError(
                f"The optimizer has {name}={group[name]!r}, which ng.{kind.__name__} does not have. Leave it "
                "out, or learn with an optimizer of your own: docs/conformance.md."
            )


def _patterns(groups: list[dict[str, Any]], model: nn.Module) -> list[str | None]:
    """What tells the names of each group from all others; None of one at most, which is the rest."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    places = {id(p): number for number, group in enumerate(groups) for p in group["params"]}
    if lost := [name for name, p in named.items() if id(p) not in places]:
        raise ValueError(
            f"The optimizer does not have {lost[0]!r}, which would be trained here. Give it all parameters "
            "of the model, or freeze this one: requires_grad_(False)."
        )
    shapes = {name: p.dim() for name, p in named.items()}
    found = [
        _pattern({name for name, p in named.items() if places[id(p)] == number}, shapes)
        for number in range(len(groups))
    ]
    if len(groups) == 1:
        return [None]
    if found.count(None) > 1:
        raise ValueError(
            f"No pattern of names tells {found.count(None)} of the optimizer's {len(groups)} groups from the "
            "others. Spell them: ng.Grouped(base, {pattern: settings})."
        )
    return found


def _pattern(names: set[str], shapes: Mapping[str, int]) -> str | None:
    parts = (name.split(".")[:-1] for name in names)
    same = itertools.takewhile(lambda row: len(set(row)) == 1, zip(*parts, strict=False))
    prefix = ".".join(row[0] for row in same)
    tails = {name.rpartition(".")[2] for name in names}
    tried = [VECTORS, f"{prefix}.*", *names] if len(names) == 1 else [VECTORS, f"{prefix}.*"]
    tried += [f"*{tail}" for tail in tails] if len(tails) == 1 else []
    for pattern in tried:
        if {name for name, dim in shapes.items() if group_of([pattern], name, dim)} == names:
            return pattern
    return None
