"""Bases: how coefficients become one value per step.

Over time, the value at step t is ``sum_k weight[t, k] * coefficients[index[t, k]]``: a sparse row of a
matrix B of shape (steps, size). So sharing a hyperparameter over time is a matrix, and the
hypergradient of the coefficients is ``B.T @ per_step``. Such a basis depends on the relative position
in the run only, which is why a schedule stretches to any budget.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import check_whole
from ._value import Value


@dataclass(frozen=True)
class Basis(Value, abc.ABC):
    """A way of sharing one hyperparameter over the steps of a run, and where its search begins.

    Args:
        initial: A number, or one number per coefficient, in the hyperparameter's own units.
            ``None``: the outer rule's or the optimizer's default for the hyperparameter's name.
        bounds: ``(lowest, highest)`` in the hyperparameter's own units, both allowed values.
        transform: Coordinate in which the outer rule moves: ``"log"`` (decades), ``"log1m"``
            (decades of one minus the value, for momentum), ``"logit"`` or ``None`` (the value
            itself). ``"default"``: the outer rule's or the optimizer's default.
        outer_step: First outer step, in units of that coordinate.
    """

    _: KW_ONLY
    initial: float | Sequence[float] | Tensor | None = None
    bounds: tuple[float, float] | None = None
    transform: str | None = "default"
    outer_step: float | None = None

    kind: ClassVar[str]

    @abc.abstractmethod
    def size(self, steps: int) -> int:
        """Number of coefficients for a run of `steps` steps."""

    @abc.abstractmethod
    def expand(self, coefficients: Tensor, steps: int) -> Tensor:
        """B @ coefficients: one value per step, shape (steps, ...)."""

    @abc.abstractmethod
    def project(self, per_step: Tensor, steps: int) -> Tensor:
        """B.T @ per_step: from per-step derivatives, shape (steps, ...), to those of the coefficients."""

    @abc.abstractmethod
    def starts(self, steps: int) -> list[int]:
        """First step at which each coefficient acts; `steps` for one that never does."""

    def shape_settings(self) -> Mapping[str, Any]:
        """Name -> what a curve on this basis depends on beside its coefficients, however it was found."""
        of_a_search = {row.name for row in fields(Basis)}
        return {name: v for name, v in self.content().items() if name not in of_a_search}

    def check(self, steps: int, name: str) -> None:
        """Raise ValueError where the run is too short to tell this basis' coefficients apart."""
        del steps, name

    def ladder(self) -> list[Basis]:
        """Ever finer bases that end with this one, for an outer rule that goes coarse to fine."""
        return [self]


@dataclass(frozen=True)
class TimeBasis(Basis):
    """A basis of scalars that change over time: a sparse matrix B of shape (steps, size)."""

    @abc.abstractmethod
    def taps(self, steps: int) -> tuple[Tensor, Tensor]:
        """Indices (steps, K) int64 and weights (steps, K) float64 of the rows of B."""

    @abc.abstractmethod
    def positions(self, steps: int) -> Tensor:
        """The step that each coefficient stands for best, shape (size,): where to sample a curve."""

    def check(self, steps: int, name: str) -> None:
        if self.size(steps) > steps:
            raise ValueError(
                f"{name} has {self.size(steps)} coefficients ({self!r}) but the run has only "
                f"{steps} steps. Use at most {steps} of them, or train longer."
            )

    def expand(self, coefficients: Tensor, steps: int) -> Tensor:
        """B @ coefficients: one value per step, shape (steps,)."""
        index, weight = self.taps(steps)
        return (coefficients.to(torch.float64)[index] * weight).sum(1)

    def project(self, per_step: Tensor, steps: int) -> Tensor:
        """B.T @ per_step: from per-step derivatives to those of the coefficients, in float64."""
        index, weight = self.taps(steps)
        shares = per_step.to(torch.float64)[:, None] * weight
        total = torch.zeros(self.size(steps), dtype=torch.float64)
        return total.index_add_(0, index.reshape(-1), shares.reshape(-1))

    def starts(self, steps: int) -> list[int]:
        index, weight = self.taps(steps)
        time = torch.arange(steps)[:, None].expand(index.shape)[weight != 0]
        first = torch.full((self.size(steps),), steps)
        return first.scatter_reduce_(0, index[weight != 0], time, "amin").tolist()


@dataclass(frozen=True)
class Constant(TimeBasis):
    """One value for the whole run.

    Example:
        >>> import torch
        >>> Constant().expand(torch.tensor([0.5]), steps=2).tolist()
        [0.5, 0.5]
    """

    kind: ClassVar[str] = "constant"

    def size(self, steps: int) -> int:
        return 1

    def taps(self, steps: int) -> tuple[Tensor, Tensor]:
        return torch.zeros(steps, 1, dtype=torch.int64), torch.ones(steps, 1, dtype=torch.float64)

    def positions(self, steps: int) -> Tensor:
        return torch.tensor([steps // 2])


@dataclass(frozen=True)
class Linear(TimeBasis):
    """Piecewise linear between `knots` equally spaced values; the first and last step lie on knots.

    Example:
        >>> import torch
        >>> Linear(2).expand(torch.tensor([0.0, 3.0]), steps=4).tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    knots: int = 2
    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        check_whole("knots", self.knots, 2)

    def size(self, steps: int) -> int:
        return self.knots

    def taps(self, steps: int) -> tuple[Tensor, Tensor]:
        position = torch.arange(steps, dtype=torch.float64) * (self.knots - 1) / max(steps - 1, 1)
        left = position.floor().long().clamp(max=self.knots - 2)
        right_weight = position - left
        index = torch.stack([left, left + 1], 1)
        return index, torch.stack([1 - right_weight, right_weight], 1)

    def positions(self, steps: int) -> Tensor:
        return (torch.arange(self.knots) * (steps - 1) / (self.knots - 1)).round().long()

    def ladder(self) -> list[Basis]:
        # One value first, as for every basis: a scale has no shape yet.
        settings = {row.name: getattr(self, row.name) for row in fields(Basis)}
        counts = [2**power + 1 for power in range(self.knots.bit_length())]
        coarser = [count for count in counts if count < self.knots]
        knots = [replace(self, knots=count) for count in [*coarser, self.knots]]
        return [Constant(**settings), *knots]
