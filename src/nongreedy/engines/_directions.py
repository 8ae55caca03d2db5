"""Directions of the coefficients: which derivatives tangents carry, and what each adds at a step."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ..schedules import Schedule, TimeBasis
from ._run import Run


class Axes:
    """One direction for each coefficient that acts, earliest first.

    Attributes:
        directions: Name -> rows of the unit matrix, shape (K, size of the basis).
        starts: First step at which each row acts, ascending, length K.
    """

    def __init__(self, schedule: Schedule, learn: Iterable[str], steps: int):
        learn = list(learn)
        self._table = columns(schedule, learn, steps)
        self.starts = [start for _, _, start in self._table]
        self.directions = {}
        for name in learn:
            size = schedule.curves[name].basis.size(steps)
            self.directions[name] = torch.zeros(len(self._table), size).double()
        for row, (name, index, _) in enumerate(self._table):
            self.directions[name][row, index] = 1.0

    def by_name(self, products: Tensor) -> dict[str, Tensor]:
        """Derivatives along the rows, shape (K,) -> name -> one for each coefficient."""
        named = {n: rows.new_zeros(rows.shape[1]) for n, rows in self.directions.items()}
        for (name, index, _), product in zip(self._table, products, strict=True):
            named[name][index] = product
        return named


def columns(schedule: Schedule, learn: Iterable[str], steps: int) -> list[tuple[str, int, int]]:
    """(name, coefficient, first step at which it acts), earliest first; never acting ones left out."""
    table = []
    for name in learn:
        starts = schedule.curves[name].basis.starts(steps)
        table += [(name, j, start) for j, start in enumerate(starts) if start < steps]
    return sorted(table, key=lambda row: row[2])


def injected_by(
    schedule: Schedule, directions: Mapping[str, Tensor], run: Run
) -> dict[str, Tensor]:
    """What each direction adds to its hyperparameter at each step: name -> shape (T, K, ...)."""
    injected = {}
    for name, rows in directions.items():
        basis = schedule.curves[name].basis
        steps = run.steps if isinstance(basis, TimeBasis) else 1  # a variable is the same at all
        table = torch.stack([basis.expand(row, steps) for row in rows], 1)
        table = table.to(run.task.device, run.dtype)
        injected[name] = table.expand(run.steps, *table.shape[1:])
    return injected


def scales_of(schedule: Schedule, directions: Mapping[str, Tensor]) -> Tensor:
    """The multiple of each direction that is as long as the coefficients which it changes, (K,)."""
    present = [schedule[name] * (rows != 0) for name, rows in directions.items()]
    long = torch.stack([rows.norm(dim=1) for rows in directions.values()]).norm(dim=0)
    return torch.stack([part.norm(dim=1) for part in present]).norm(dim=0) / long
