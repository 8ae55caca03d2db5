"""All learned coefficients as one vector, in units of each hyperparameter's outer step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
from torch import Tensor

from ...schedules import Hyperparameter, Schedule, TimeBasis

MOST = 24  # coefficients whose curvatures are modelled pair by pair
_LONGEST = 12  # coefficients of one family of hyperparameters that is among them


@final
@dataclass(frozen=True)
class Space:
    r"""From schedules to vectors and back.

    .. math:: x_i = \mathrm{coordinate}(c_i) / \mathrm{outer\ step}_i

    so that a step of 1 is one that its hyperparameter is said to bear: a decade of a learning rate.

    Args:
        hyperparameters: Those that move.
        like: A schedule with the bases, and with all that is fixed.
    """

    hyperparameters: Mapping[str, Hyperparameter]
    like: Schedule

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each hyperparameter stands in the vector."""
        found, begin = dict[str, slice](), 0
        for name in self.hyperparameters:
            end = begin + self.like[name].numel()
            found[name], begin = slice(begin, end), end
        return found

    @cached_property
    def families(self) -> dict[str, list[str]]:
        """Hyperparameters of one kind, such as the factors of all groups: those that only a model can move
        first, then the optimizer's."""
        found = dict[str, list[str]]()
        order = sorted(self.slices, key=lambda name: self.hyperparameters[name].owner)
        for name in sorted(order, key=lambda name: not self.hyperparameters[name].free):
            found.setdefault(name.partition("[")[0], []).append(name)
        return found

    @cached_property
    def modelled(self) -> Tensor:
        """Places of the coefficients that have a full model: short ones that change over time."""
        chosen, count = list[Tensor](), 0
        for names in self.families.values():
            part = torch.cat([_places(self.slices[name]) for name in names])
            short = all(isinstance(self.hyperparameters[n].basis, TimeBasis) for n in names)
            if short and len(part) <= _LONGEST and count + len(part) <= MOST:
                chosen.append(part)
                count += len(part)
        return torch.cat(chosen).sort().values if chosen else torch.zeros(0, dtype=torch.int64)

    @cached_property
    def followed(self) -> dict[str, Tensor]:
        """Name of every other family -> its places, which are moved along their gradient."""
        known, found = set(self.modelled.tolist()), dict[str, Tensor]()
        for family, names in self.families.items():
            part = torch.cat([_places(self.slices[name]) for name in names])
            if part[0].item() not in known:
                found[family] = part
        return found

    def of(self, *settings: str) -> Tensor:
        """Which places belong to these settings, in whatever group."""
        mask = torch.zeros(sum(p.stop - p.start for p in self.slices.values()), dtype=torch.bool)
        for name, part in self.slices.items():
            mask[part] = name.partition("[")[0] in settings
        return mask

    def vector(self, schedule: Schedule) -> Tensor:
        """Where a schedule stands."""
        return self._joined(lambda name, hyper: hyper.to_coordinate(schedule[name]))

    def schedule(self, vector: Tensor) -> Schedule:
        """The schedule that stands there, or at the nearest place within the bounds."""
        values = {
            name: hyper.to_value(vector[self.slices[name]] * hyper.outer_step)
            for name, hyper in self.hyperparameters.items()
        }
        return self.like.with_coefficients(values)

    def gradient(self, schedule: Schedule, gradients: Mapping[str, Tensor]) -> Tensor:
        """Derivatives of the loss by the vector: its change per outer step; NaN where there are none."""

        def squared(name: str, hyper: Hyperparameter) -> Tensor:
            if name not in gradients:
                return torch.full_like(schedule[name], math.nan)
            slope = hyper.gradient_in_coordinate(schedule[name], gradients[name].double().cpu())
            return slope * hyper.outer_step**2  # one of them is divided out again

        return self._joined(squared)

    @cached_property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """The least and the greatest vector."""

        def end(side: int) -> Tensor:
            return self._joined(
                lambda name, hyper: hyper.to_coordinate(
                    torch.full_like(self.like[name], hyper.bounds[side])
                )
            )

        return end(0), end(1)

    def _joined(self, row: Callable[[str, Hyperparameter], Tensor]) -> Tensor:
        parts = [row(n, h).reshape(-1) / h.outer_step for n, h in self.hyperparameters.items()]
        return torch.cat(parts).double() if parts else torch.zeros(0, dtype=torch.float64)


def _places(part: slice) -> Tensor:
    return torch.arange(part.start, part.stop)
