"""Settings per parameter group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import Tensor

from ..errors import nearest_name
from ..schedules import Basis, Default, Hyperparameter
from ._averaged import bound
from ._optimizer import Layout, Optimizer, Values, checked_setting
from ._patterns import index_of, torch_groups

Settings = Mapping[str, Basis | float]


@final
@dataclass(frozen=True)
class Grouped(Optimizer):
    r"""An optimizer some of whose settings differ between groups of parameters.

    .. math:: h_{t,i} = h_t^{(k)} \text{ with } k \text{ the group of parameter } i

    A group is a pattern of parameter names (``"*bias"``, ``"head.*"``, as the shell's) or
    ``"vectors"``, all parameters with fewer than two dimensions: biases and the scales of norms. The
    first group that fits a parameter has it. A setting that a group does not give is shared with the
    rest. In a schedule, a group's own setting is called ``weight_decay[*bias]``.

    Args:
        base: Optimizer of the rest, whose update and slots hold for all.
        groups: Pattern -> settings of its own: name -> basis (learned) or number (fixed).

    Raises:
        ValueError: A group without settings, a setting that the optimizer does not have, or (when a
            run is made) a pattern that fits no parameter.

    Source: the parameter groups of ``torch.optim``.

    Cannot: combine different optimizers, clip groups apart, or group :class:`Muon`, whose twin has
    groups of its own.

    Example:
        >>> from nongreedy import SGD, Windows
        >>> optimizer = Grouped(SGD(Windows(4), weight_decay=5e-4), {"vectors": {"weight_decay": 0.0}})
        >>> list(optimizer.learnable)
        ['learning_rate', 'momentum', 'weight_decay', 'weight_decay[vectors]']
    """

    base: Optimizer = field(kw_only=False)
    groups: Mapping[str, Settings] = field(default_factory=dict)
    index: Tensor | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_shape()
        if type(self.base).__name__ in ("Muon", "Grouped", "Scaled"):
            raise ValueError(f"{type(self.base).__name__} cannot be grouped: {self.base!r}.")
        if self.clip_value is not None or self.clip_norm is not None:
            raise ValueError(
                f"Clipping is over all groups: give clip_value={self.clip_value} and "
                f"clip_norm={self.clip_norm} to the base, {type(self.base).__name__}(...)."
            )
        if self.average is not None:
            raise ValueError(
                f"One average is over all groups: give average={self.average!r} to the base, "
                f"{type(self.base).__name__}(...)."
            )
        for name in ("slots", "torch_settings"):
            object.__setattr__(self, name, getattr(self.base, name))
        learnable = dict(self.base.learnable)
        for pattern, settings in self.groups.items():
            if not settings:
                raise ValueError(f"The group {pattern!r} has no settings of its own. Leave it out.")
            for name in settings:
                if name not in self.base.learnable:
                    raise ValueError(
                        f"The group {pattern!r} sets {name!r}, which {type(self.base).__name__} "
                        "does not have." + nearest_name(name, self.base.learnable)
                    )
                learnable[_named(name, pattern)] = self.base.learnable[name]
        object.__setattr__(self, "learnable", learnable)
        super().__post_init__()

    def _check_shape(self) -> None:
        base: Any = self.base
        groups: Any = self.groups
        whole = isinstance(base, Optimizer) and isinstance(groups, Mapping)
        if not whole or not all(isinstance(own, Mapping) for own in groups.values()):
            raise TypeError(
                "Grouped takes the optimizer of the rest, then patterns with settings of their own, such as "
                'Grouped(SGD(Windows(4)), {"*bias": {"weight_decay": 0.0}}), but got '
                f"{base!r} and {groups!r}."
            )

    def content(self) -> Mapping[str, Any]:
        """The base and its groups, whose order decides which of them a parameter has."""
        return {"base": self.base, "groups": list(self.groups.items())}

    def given(self) -> Mapping[str, Basis | float]:
        """The base's settings, then those of the groups."""
        in_groups = {
            _named(name, pattern): checked_setting(_named(name, pattern), value)
            for pattern, settings in self.groups.items()
            for name, value in settings.items()
        }
        return {**self.base.given(), **in_groups}

    def hyperparameters(
        self, steps: int | None = None, overrides: Mapping[str, Default] | None = None
    ) -> dict[str, Hyperparameter]:
        """Every hyperparameter; what holds for a setting of some name holds in every group."""
        table = {n: row for n in self.learnable if (row := (overrides or {}).get(n.split("[")[0]))}
        return super().hyperparameters(steps, table)

    def bound_to(self, layout: Layout, device: torch.device) -> Grouped:
        """Knowing the group of every entry of the flat vector: 0 is the rest."""
        index = index_of(tuple(self.groups), layout, device)
        return replace(self, base=bound(self.base, layout, device), index=index)

    def init(self, parameters: Tensor) -> Tensor:
        """The base's state before the first step."""
        return self.base.init(parameters)

    def answer(self, state: Tensor) -> Tensor:
        """The base's."""
        return self.base.answer(state)

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """The base's update, with one value per entry where groups differ."""
        return self.base.update(state, gradient, self._spread(values))

    def advance(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """Likewise."""
        return self.base.advance(state, gradient, self._spread(values))

    def clip(self, gradient: Tensor) -> Tensor:
        """The base's clipping, over all groups together."""
        return self.base.clip(gradient)

    def clip_torch(self, parameters: Any) -> None:
        """Likewise, on the ``.grad`` of a plain loop's parameters."""
        self.base.clip_torch(parameters)

    def _spread(self, values: Values) -> dict[str, Tensor]:
        """Values of the base's settings, shape (P,) where a group has its own, else ()."""
        assert self.index is not None, "Not bound to a layout: a Grouped optimizer works in a Run."
        spread = dict(values)
        for name in self.base.learnable:
            in_groups = [_named(name, pattern) for pattern in self.groups]
            if not values.keys().isdisjoint(in_groups):
                rows = [values[name], *(values.get(entry, values[name]) for entry in in_groups)]
                spread[name] = torch.stack(rows)[self.index]
        return spread

    def torch_groups(self, named: Iterable[tuple[str, Any]]) -> list[dict[str, Any]]:
        """Parameter groups for ``torch.optim``, each with its pattern under ``"group"``."""
        return torch_groups(tuple(self.groups), named)

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """The base's twin, given the groups of :meth:`torch_groups`."""
        return self.base.torch_optimizer(parameters)


def _named(name: str, pattern: str) -> str:
    return f"{name}[{pattern}]"
