"""Factors on the common settings, one for each group of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import nearest_name
from ..schedules import Basis, Default
from ..schedules._settings import factor_name
from ._grouping import Grouping, by_group
from ._optimizer import Values, checked_setting

Factors = Mapping[str, Basis | float]
FACTOR = Default(1.0, (0.01, 100.0), "log", 0.1)


@final
@dataclass(frozen=True)
class Scaled(Grouping):
    r"""An optimizer some of whose settings are multiplied, in groups of parameters, by factors.

    .. math:: h_{t,i} = f_t^{(k)} h_t \text{ with } k \text{ the group of parameter } i

    Where :class:`Grouped` gives a group a schedule of its own, here all groups follow the common one,
    each by its own factor: one number more for each group, whatever the schedule. Groups are patterns
    as there; parameters that none fits have the factor 1. In a schedule, a factor is called
    ``learning_rate_factor[0.weight]``.

    Args:
        base: Optimizer, whose settings are the common ones.
        groups: Pattern -> name of a setting -> its factor: a basis (learned, first 1, in decades)
            or a number (fixed). Settings that are sizes have factors: learning rates, weight decay,
            epsilon.

    Raises:
        ValueError: A group without factors, a setting that has none, or (when a run is made) a pattern
            that fits no parameter.

    Source: the parameter groups of ``torch.optim``.

    Cannot: scale :class:`Grouped` or :class:`Muon`, whose twins have groups of their own; scale a
    momentum.

    Example:
        >>> from nongreedy import SGD, Constant, Windows
        >>> optimizer = Scaled(SGD(Windows(4)), {"*bias": {"learning_rate": Constant()}})
        >>> list(optimizer.learnable)
        ['learning_rate', 'momentum', 'weight_decay', 'learning_rate_factor[*bias]']
    """

    def __post_init__(self) -> None:
        self._take(
            ("Muon", "Grouped", "Scaled"), "scaled, its groups are its own",
            "Scaled takes an optimizer, then patterns with factors on its settings, such as "
            'Scaled(SGD(Windows(4)), {"*bias": {"learning_rate": Constant()}})',
        )  # fmt: skip
        kind = type(self.base).__name__
        own = self.base.average.name if self.base.average is not None else ""
        rows = self.base.learnable.items()
        sizes = [name for name, row in rows if row.transform == "log" and name != own]
        for pattern, factors in self.groups.items():
            if not factors:
                raise ValueError(f"The group {pattern!r} has no factors. Leave it out.")
            for name in factors:
                if name not in sizes:
                    raise ValueError(
                        f"The group {pattern!r} has a factor for {name!r}, but of {kind} factors "
                        f"may scale {', '.join(sizes)}." + nearest_name(name, sizes)
                    )
        rows = dict.fromkeys((name for name, _, _ in self._factors()), FACTOR)
        object.__setattr__(self, "learnable", {**self.base.learnable, **rows})
        super().__post_init__()

    def _factors(self) -> Iterator[tuple[str, int, str]]:
        """(name, number of its group from 1, the setting that it scales) of every factor."""
        for number, (pattern, factors) in enumerate(self.groups.items(), 1):
            for setting in factors:
                yield factor_name(setting, pattern), number, setting

    def given(self) -> Mapping[str, Basis | float]:
        """The base's settings, then the factors."""
        values = (value for factors in self.groups.values() for value in factors.values())
        named = zip((name for name, _, _ in self._factors()), values, strict=True)
        factors = {name: checked_setting(name, value) for name, value in named}
        return {**self.base.given(), **factors}

    def spread(self, values: Values) -> dict[str, Tensor]:
        """Values of the base's settings, shape (P,) where there are factors, else ()."""
        assert self.stretches is not None, (
            "Not bound to a layout: a Scaled optimizer works in a Run."
        )
        rows = dict[str, dict[int, Tensor]]()
        for name, number, setting in self._factors():
            rows.setdefault(setting, {})[number] = values[name]
        spread = dict(values)
        for setting, factors in rows.items():
            one = torch.ones_like(values[setting])
            row = [factors.get(number, one) for number in range(len(self.groups) + 1)]
            spread[setting] = values[setting] * by_group(row, self.stretches)
        return spread
