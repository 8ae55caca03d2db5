"""Metasmoothness: whether the hypergradient still holds a finite step away, by plain runs."""

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
    rollouts: Sequence[Rollout],
    hypergradients: Sequence[Hypergradient],
    step: float,
) -> Smoothness | None:
    """Two plain runs more for each seed; None where the hypergradient is zero."""
    direction = _downhill(schedule, hyperparameters, hypergradients)
    if direction is None:
        return None
    points = [moved(schedule, hyperparameters, direction, length * step) for length in (1, 2)]
    agreements, changes, predictions = [], [], []
    for rollout, hypergradient in zip(rollouts, hypergradients, strict=True):
        try:
            first, second = (objective.rollout(point, rollout.run.seed) for point in points)
        except DivergedError:
            agreements.append(0.0)
            continue
        agreements.append(_agreement(rollout, first, second))
        changes.append(first.outcome.loss - rollout.outcome.loss)
        predictions.append(_predicted(hypergradient, schedule, points[0], hyperparameters))
    predicted = sum(predictions)
    linearity = sum(changes) / predicted if predicted else math.nan
    return Smoothness(statistics.fmean(agreements), linearity, step)


def _downhill(
    schedule: Schedule, hyperparameters: Hyperparameters, hypergradients: Sequence[Hypergradient]
) -> dict[str, Tensor] | None:
    slopes = {}
    for name, hyper in hyperparameters.items():
        mean = torch.stack([h.gradients[name] for h in hypergradients]).mean(0)
        slopes[name] = hyper.outer_step * hyper.gradient_in_coordinate(schedule[name], mean)
    largest = max(float(slope.abs().max()) for slope in slopes.values())
    return {n: -slope / largest for n, slope in slopes.items()} if largest else None


def _agreement(base: Rollout, first: Rollout, second: Rollout) -> float:
    """Of two changes of the weights, one after the other."""
    begun, went_on = first.answer - base.answer, second.answer - first.answer
    total = float(begun.abs().sum(dtype=torch.float64))
    return float((begun * went_on.sign()).sum(dtype=torch.float64)) / total if total else 1.0


def _predicted(
    hypergradient: Hypergradient, start: Schedule, end: Schedule, hyperparameters: Hyperparameters
) -> float:
    """The change of the loss between two schedules, as far as one is bounded, to first order."""
    total = 0.0
    for name, hyper in hyperparameters.items():
        slope = hyper.gradient_in_coordinate(start[name], hypergradient.gradients[name])
        change = hyper.to_coordinate(end[name]) - hyper.to_coordinate(start[name])
        total += float((slope * change).sum())
    return total
