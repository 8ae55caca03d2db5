"""What optimizers whose settings differ between groups of parameters share: a base, and who is in which."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor

from ._averaged import bound
from ._optimizer import Layout, Optimizer, Values
from ._patterns import Stretch, stretches_of, torch_groups


def by_group(rows: Sequence[Tensor], stretches: Sequence[Stretch]) -> Tensor:
    """Of each entry the number of its group, shape (P,).

    Not by an index, whose derivative adds up all entries of a group one after the other on a GPU.
    """
    return torch.cat([rows[group].expand(size) for group, size in stretches])


@dataclass(frozen=True)
class Grouping(Optimizer):
    """The base's update, slots and answer, with one value per entry where groups differ.

    Args:
        base: Optimizer of the rest.
        groups: Pattern -> what is its own.
        stretches: Of the flat vector, in its order: group, from 1, 0 being the rest, and how many entries.
            None before a run.
    """

    base: Optimizer = field(kw_only=False)
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stretches: tuple[Stretch, ...] | None = field(default=None, repr=False, compare=False)

    def _take(self, refused: Iterable[str], verb: str, example: str) -> None:
        """Check the base and the shape of the groups; take the base's slots and settings."""
        base: Any = self.base
        groups: Any = self.groups
        whole = isinstance(base, Optimizer) and isinstance(groups, Mapping)
        if not whole or not all(isinstance(own, Mapping) for own in groups.values()):
            raise TypeError(f"{example}, but got {base!r} and {groups!r}.")
        kind = type(base).__name__
        if kind in refused:
            raise ValueError(f"{kind} cannot be {verb}: {base!r}.")
        if self.clip_value is not None or self.clip_norm is not None:
            raise ValueError(
                f"Clipping is over all groups: give clip_value={self.clip_value} and "
                f"clip_norm={self.clip_norm} to the base, {kind}(...)."
            )
        if self.average is not None:
            raise ValueError(
                f"One average is over all groups: give average={self.average!r} to the base, {kind}(...)."
            )
        for name in ("slots", "torch_settings"):
            object.__setattr__(self, name, getattr(base, name))

    def content(self) -> Mapping[str, Any]:
        """The base and its groups, whose order decides which of them a parameter has."""
        return {"base": self.base, "groups": list(self.groups.items())}

    def bound_to(self, layout: Layout, device: torch.device) -> Self:
        """Knowing the group of every entry of the flat vector."""
        stretches = stretches_of(tuple(self.groups), layout)
        return replace(self, base=bound(self.base, layout, device), stretches=stretches)

    @abc.abstractmethod
    def spread(self, values: Values) -> dict[str, Tensor]:
        """Values of the base's settings, shape (P,) where groups differ, else ()."""

    def init(self, parameters: Tensor) -> Tensor:
        """The base's state before the first step."""
        return self.base.init(parameters)

    def answer(self, state: Tensor) -> Tensor:
        """The base's."""
        return self.base.answer(state)

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """The base's update."""
        return self.base.update(state, gradient, self.spread(values))

    def advance(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """Likewise."""
        return self.base.advance(state, gradient, self.spread(values))

    def clip(self, gradient: Tensor) -> Tensor:
        """The base's clipping, over all groups together."""
        return self.base.clip(gradient)

    def clip_torch(self, parameters: Any) -> None:
        """Likewise, on the ``.grad`` of a plain loop's parameters."""
        self.base.clip_torch(parameters)

    def torch_groups(self, named: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
        """Parameter groups for ``torch.optim``, each with its pattern under ``"group"``."""
        return torch_groups(tuple(self.groups), named)

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """The base's twin, given the groups of :meth:`torch_groups`."""
        return self.base.torch_optimizer(parameters)
