"""Metasmoothness: whether the hypergradient still holds a finite step away, by plain runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engines import Hypergradient, Rollout
from ..errors import DivergedError
from ..schedules import Hyperparameter, Schedule
from ..schedules._schedule import moved
from ..search import Objective

Direction = Mapping[str, Tensor]
Hyperparameters = Mapping[str, Hyperparameter]


@dataclass(frozen=True)
class Smoothness:
    r"""What becomes of a run along a finite step, on common seeds.

    From the coefficients z, in the outer rule's coordinates, v is the direction downhill of the mean
    hypergradient, so long that its largest entry is one outer step, and h a share of it. With
    :math:`\Delta_0 = \theta_T(z + hv) - \theta_T(z)` and
    :math:`\Delta_1 = \theta_T(z + 2hv) - \theta_T(z + hv)`, changes of the trained weights:

    .. math:: \hat S = \sum_i \frac{|\Delta_{0i}|}{\|\Delta_0\|_1}
              \mathrm{sign}(\Delta_{0i})\, \mathrm{sign}(\Delta_{1i}), \qquad
              R = \frac{J(z + hv) - J(z)}{\langle G, hv \rangle}

    Attributes:
        metasmoothness: S, in [-1, 1], the mean over the seeds: 1 where the weights go on as they
            began to move, 0 where the second step has nothing to do with the first. A seed whose run
            diverges on the way counts as 0.
        linearity: R, of the means over the seeds: 1 where the loss changes as the hypergradient says.
            NaN where all diverged.
        step: h.

    Source: arXiv:2503.13751, definition 2 (of the weights); there v is any direction.

    Cannot: see what lies further away than 2h, or in other directions.
    """

    metasmoothness: float
    linearity: float
    step: float


def smoothness_of(
    objective: Objective,
    schedule: Schedule,
    hyperparameters: Hyperparameters,
    found: Sequence[tuple[Rollout, Hypergradient]],
    step: float,
) -> Smoothness | None:
    """Two plain runs more for each seed; None where the hypergradient is zero."""
    direction = _downhill(schedule, hyperparameters, [h for _, h in found])
    if direction is None:
        return None
    points = [moved(schedule, hyperparameters, direction, length * step) for length in (1, 2)]
    seeds = [_of_seed(objective, points, rollout) for rollout, _ in found]
    went = [
        (seed[1], _predicted(hypergradient, schedule, points[0], hyperparameters))
        for seed, (_, hypergradient) in zip(seeds, found, strict=True)
        if seed is not None
    ]
    smooth = statistics.fmean(0.0 if seed is None else seed[0] for seed in seeds)
    predicted = sum(p for _, p in went)
    linear = sum(c for c, _ in went) / predicted if predicted else math.nan
    return Smoothness(smooth, linear, step)


def _downhill(
    schedule: Schedule, hyperparameters: Hyperparameters, found: Sequence[Hypergradient]
) -> Direction | None:
    slopes = {
        name: hyper.outer_step
        * hyper.gradient_in_coordinate(
            schedule[name], torch.stack([h.gradients[name] for h in found]).mean(0)
        )
        for name, hyper in hyperparameters.items()
    }
    largest = max(float(slope.abs().max()) for slope in slopes.values())
    if largest == 0:
        return None
    return {name: -slope / largest for name, slope in slopes.items()}


def _of_seed(
    objective: Objective, points: Sequence[Schedule], base: Rollout
) -> tuple[float, float] | None:
    """(agreement of the two changes, change of the loss by the first); None where a run diverges."""
    try:
        first, second = (objective.rollout(point, base.run.seed) for point in points)
    except DivergedError:
        return None
    begun = first.last[0] - base.last[0]
    went_on = second.last[0] - first.last[0]
    total = float(begun.abs().sum(dtype=torch.float64))
    same = float((begun * went_on.sign()).sum(dtype=torch.float64))
    return same / total if total else 1.0, first.outcome.loss - base.outcome.loss


def _predicted(
    found: Hypergradient, start: Schedule, end: Schedule, hyperparameters: Hyperparameters
) -> float:
    """The change of the loss between two schedules, as far as one is bounded, to first order."""
    total = 0.0
    for name, hyper in hyperparameters.items():
        slope = hyper.gradient_in_coordinate(start[name], found.gradients[name])
        change = hyper.to_coordinate(end[name]) - hyper.to_coordinate(start[name])
        total += float((slope * change).sum())
    return total
