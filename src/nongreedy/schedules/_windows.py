"""Windows of steps that share one value each, of equal length or between given edges."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import check_whole
from ._basis import Basis, TimeBasis

_ROUNDING = 1e-9  # of a position times the number of steps, which should be a whole number


def _checked_edges(positions: Sequence[float]) -> tuple[float, ...]:
    """The edges as floats, if they rise strictly between 0 and 1; else a ValueError."""
    edges = tuple(float(edge) for edge in positions)
    bounded = (0.0, *edges, 1.0)
    if not edges or not all(a < b for a, b in itertools.pairwise(bounded)):
        raise ValueError(
            f"`edges` must rise strictly between 0 and 1, the beginning and the end of the run, but "
            f"got {tuple(positions)}. For windows of equal length give their number: Windows(4)."
        )
    return edges


def first_steps(count: int, edges: Sequence[float] | None, steps: int) -> Tensor:
    """The first step of each window and, at the end, `steps`: shape (count + 1,), int64.

    Of `count` equal windows, number j begins at the step ceil(j steps / count), in whole numbers; with
    edges, at the ceiling of the edge times the steps.
    """
    if edges is None:
        return -((-torch.arange(count + 1) * steps) // count)
    inner = torch.tensor(edges, dtype=torch.float64) * steps
    inner = (inner - _ROUNDING).ceil().long()
    return torch.cat([torch.tensor([0]), inner, torch.tensor([steps])])


def _equal_edges(count: int) -> tuple[float, ...]:
    """Those of `count` windows of equal length."""
    return tuple(j / count for j in range(1, count))


@dataclass(frozen=True)
class Windows(TimeBasis):
    """Piecewise constant: windows of steps share one value each (arXiv:2007.07869).

    Args:
        count: How many, of equal length: coefficient ``(count * t) // steps`` holds at the 0-based
            step t, also where `count` does not divide `steps`. ``"auto"``: the outer rule
            :class:`AgreementSearch`, also in place of the default one, begins with one window and halves
            it, then its halves, where the hypergradients of several seeds call for different values, and
            nowhere else.
        edges: Instead of a number: where windows end and the next begin, as rising positions
            strictly between 0 and 1, relative to the run.

    Raises:
        ValueError: A count below 1, or edges out of order.

    Example:
        >>> import torch
        >>> Windows(2).expand(torch.tensor([1.0, 3.0]), steps=4).tolist()
        [1.0, 1.0, 3.0, 3.0]
        >>> Windows(edges=[0.75]).expand(torch.tensor([1.0, 3.0]), steps=4).tolist()
        [1.0, 1.0, 1.0, 3.0]
    """

    count: int | str = 1
    edges: Sequence[float] | None = field(default=None, kw_only=True)
    kind: ClassVar[str] = "windows"

    def __post_init__(self) -> None:
        if self.edges is not None:
            edges = _checked_edges(self.edges)
            if self.count not in (1, len(edges) + 1):
                raise ValueError(f"Give `count` or `edges`, but got {self.count=}, {edges=}.")
            object.__setattr__(self, "edges", edges)
            object.__setattr__(self, "count", len(edges) + 1)
        elif not self.auto:
            check_whole("windows", self.count, also=" (or 'auto')")

    @property
    def auto(self) -> bool:
        """Whether an outer rule is to find the number of windows; until then there is one."""
        return self.count == "auto"

    def size(self, steps: int) -> int:
        return 1 if self.auto else int(self.count)

    def taps(self, steps: int) -> tuple[Tensor, Tensor]:
        starts = first_steps(self.size(steps), self.edges, steps)
        index = torch.bucketize(torch.arange(steps), starts[1:-1], right=True)
        return index[:, None], torch.ones(steps, 1, dtype=torch.float64)

    def positions(self, steps: int) -> Tensor:
        starts = first_steps(self.size(steps), self.edges, steps)
        return ((starts[:-1] + starts[1:] - 1) // 2).clamp(0, steps - 1)

    def check(self, steps: int, name: str) -> None:
        super().check(steps, name)
        lengths = first_steps(self.size(steps), self.edges, steps).diff()
        if bool((lengths < 1).any()):
            raise ValueError(
                f"{name} has a window without a single one of the {steps} steps: {self!r}. "
                "Move its edges apart, or train longer."
            )

    def ladder(self) -> list[Basis]:
        if self.auto:
            return [self]
        size = self.size(1)
        counts = [2**power for power in range(size.bit_length()) if 2**power < size]
        if self.edges is None:
            return [replace(self, count=count) for count in [*counts, size]]
        # Each rung has about the wanted number of the edges, evenly out of all of them.
        coarser = [[self.edges[j * size // n - 1] for j in range(1, n)] for n in counts]
        rungs = [replace(self, count=1, edges=edges or None) for edges in coarser]
        return [*rungs, self]

    def shape_settings(self) -> Mapping[str, Any]:
        # The coefficients have the count, also of "auto".
        return {name: v for name, v in super().shape_settings().items() if name != "count"}

    def borders(self) -> tuple[float, ...]:
        """Where windows begin and end, relative to the run, from 0 to 1."""
        return (0.0, *(self.edges or _equal_edges(self.size(1))), 1.0)

    def cut(self, positions: Sequence[float]) -> Windows:
        """The same with further edges; without any where all windows are of equal length again."""
        edges = tuple(sorted({*self.borders()[1:-1], *positions}))
        if edges == _equal_edges(len(edges) + 1):
            return replace(self, count=len(edges) + 1, edges=None)
        return replace(self, count=1, edges=edges)


@dataclass(frozen=True)
class PerStep(TimeBasis):
    """One value per step. Stretched to another budget, each value becomes one window.

    Example:
        >>> import torch
        >>> PerStep().expand(torch.tensor([1.0, 2.0]), steps=2).tolist()
        [1.0, 2.0]
    """

    kind: ClassVar[str] = "per_step"

    def size(self, steps: int) -> int:
        return steps

    def taps(self, steps: int) -> tuple[Tensor, Tensor]:
        return torch.arange(steps)[:, None], torch.ones(steps, 1, dtype=torch.float64)

    def positions(self, steps: int) -> Tensor:
        return torch.arange(steps)

    def ladder(self) -> list[Basis]:
        settings = {row.name: getattr(self, row.name) for row in fields(self)}
        return [*(Windows(2**power, **settings) for power in range(5)), self]
