"""Where the default rule's search stands."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import final

import torch

from ...schedules import Hyperparameter, Schedule
from ._observation import Observation, logged, relative
from ._quadratic import Prior
from ._rule import OuterState
from ._space import Space

_FAST = ("learning_rate", "momentum", "beta1", "average_interpolation")  # what acts together
_DECADES = ("log", "log1m")


@final
@dataclass(frozen=True)
class ModelState(OuterState):
    """Where the search stands.

    Attributes:
        hyperparameters: Those that move, of the way of training that was chosen.
        observations: All runs and sweeps of that way of training.
        seeds, losses: Of the last runs of the schedule.
        reach: Radii of the trust regions of the modelled coefficients and of the long ones.
        drawn: Fresh seeds that were used.
        failures: Outer steps in a row without an improvement.
        looked: Whether the schedule was differentiated on its seed.
        alone: Whether the modelled coefficients are to be moved without the long ones.
        contenders: Schedules that were kept, the fallback first.
        begun: What the user began with, where another scale of it was better on the first seed.
        others: Starts that were nearly as good as that.
        paired: Where runs to both sides were made of what no gradient reaches, by name, in outer steps.
    """

    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    observations: tuple[Observation, ...] = ()
    seeds: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    reach: tuple[float, float] = (0.5, 1.0)
    drawn: int = 1
    failures: int = 0
    looked: bool = False
    alone: bool = False
    contenders: tuple[Schedule, ...] = ()
    begun: tuple[Schedule, ...] = ()
    others: tuple[Schedule, ...] = ()
    paired: Mapping[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Mean of the last runs."""
        return statistics.fmean(self.losses)

    @cached_property
    def space(self) -> Space:
        return Space(self.hyperparameters, self.schedule)

    @cached_property
    def prior(self) -> Prior:
        """What is expected of the modelled coefficients."""
        return prior_of(self.space)

    @property
    def scale(self) -> float:
        """What losses are relative to."""
        return abs(min(o.loss for o in self.observations)) or 1.0

    @cached_property
    def relative(self) -> list[Observation]:
        """The observations in the units of the model."""
        return relative(self.observations, self.scale)

    @property
    def unit(self) -> float:
        """Of the loss, what a small change of the model by one is here."""
        return self.loss if logged(self.observations) else self.scale

    def absolute(self, change: float) -> float:
        """Of the loss, what the model calls a change by so much."""
        return self.unit * (math.expm1(change) if logged(self.observations) else change)


def prior_of(space: Space) -> Prior:
    """What is expected of the modelled coefficients of a space."""
    widths = torch.ones(len(space.vector(space.like)))
    for name, part in space.slices.items():
        hyper = space.hyperparameters[name]
        if hyper.transform in _DECADES:
            widths[part] = hyper.outer_step
    chosen = space.modelled
    return Prior(widths.double()[chosen], space.of(*_FAST)[chosen].double())
