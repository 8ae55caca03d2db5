"""Settings per parameter group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from torch import Tensor

from ..errors import nearest_name
from ..schedules import Basis, Default, Hyperparameter
from ._grouping import Grouping, by_group
from ._optimizer import Values, checked_setting

Settings = Mapping[str, Basis | float]


@final
@dataclass(frozen=True)
class Grouped(Grouping):
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

    def __post_init__(self) -> None:
        self._take(
            ("Muon", "Grouped", "Scaled"), "grouped",
            "Grouped takes the optimizer of the rest, then patterns with settings of their own, such as "
            'Grouped(SGD(Windows(4)), {"*bias": {"weight_decay": 0.0}})',
        )  # fmt: skip
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

    def spread(self, values: Values) -> dict[str, Tensor]:
        """Values of the base's settings, shape (P,) where a group has its own, else ()."""
        assert self.stretches is not None, (
            "Not bound to a layout: a Grouped optimizer works in a Run."
        )
        spread = dict(values)
        for name in self.base.learnable:
            in_groups = [_named(name, pattern) for pattern in self.groups]
            if not values.keys().isdisjoint(in_groups):
                rows = [values[name], *(values.get(entry, values[name]) for entry in in_groups)]
                spread[name] = by_group(rows, self.stretches)
        return spread


def _named(name: str, pattern: str) -> str:
    return f"{name}[{pattern}]"
