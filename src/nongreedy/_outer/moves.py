"""Ways to change a schedule by some length: along a direction, or without a derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from .._hyperparameter import Hyperparameter
from .._schedule import Schedule

Move = Callable[[float], Schedule]
Direction = Mapping[str, Tensor]
Hyperparameters = Mapping[str, Hyperparameter]
COOLED = "learning_rate"  # what is lowered when a run diverges, and along the cooling ramp
TRADED = "momentum"
_DECAY = "weight_decay"


def moved(
    schedule: Schedule, hyperparameters: Hyperparameters, direction: Direction, length: float
) -> Schedule:
    """The schedule `length` outer steps along a direction, within the bounds."""
    changed = {}
    for name, step in direction.items():
        hyper, value = hyperparameters[name], schedule[name]
        target = hyper.to_coordinate(value) + length * hyper.outer_step * step
        changed[name] = torch.where(step == 0, value, hyper.to_value(target))
    return schedule.with_coefficients(changed)


def ray(schedule: Schedule, hyperparameters: Hyperparameters, direction: Direction) -> Move | None:
    """Along a direction; None where it is zero."""
    if not any(bool(step.any()) for step in direction.values()):
        return None
    return lambda length: moved(schedule, hyperparameters, direction, length)


def ramp(schedule: Schedule, hyperparameters: Hyperparameters) -> Move | None:
    """From nothing at the first coefficient of the learning rate to one outer step down at the last."""
    if COOLED not in hyperparameters or len(schedule[COOLED]) < 2:
        return None
    fall = -torch.linspace(0, 1, len(schedule[COOLED]), dtype=torch.float64)
    return ray(schedule, hyperparameters, {COOLED: fall})


def regularize(schedule: Schedule, hyperparameters: Hyperparameters) -> Move | None:
    """More weight decay everywhere, by outer steps: where it is small, so is its derivative."""
    if _DECAY not in hyperparameters:
        return None
    more = (schedule[_DECAY] < hyperparameters[_DECAY].bounds[1]).double()
    return ray(schedule, hyperparameters, {_DECAY: more})


def exchange(schedule: Schedule, hyperparameters: Hyperparameters, sign: int) -> Move | None:
    r"""Momentum for learning rate, by decades, at the same effective learning rate.

    .. math:: 1 - \beta \to 10^{-kl} (1 - \beta), \qquad \alpha \to 10^{-kl} \alpha

    with :math:`k` the sign and :math:`l` the length. Where steps are small, only
    :math:`\alpha / (1 - \beta)` matters, so that the hypergradient pushes both the same way; what
    momentum itself is worth shows at a distance. None where one of them is not learned, or where
    half a decade leaves the bounds.
    """
    if COOLED not in hyperparameters or TRADED not in hyperparameters:
        return None

    def changed(length: float) -> dict[str, Tensor]:
        factor = 10.0 ** (-sign * length)
        return {COOLED: schedule[COOLED] * factor, TRADED: 1 - (1 - schedule[TRADED]) * factor}

    for name, values in changed(0.5).items():
        if not torch.equal(hyperparameters[name].clip(values), values):
            return None
    return lambda length: schedule.with_coefficients(
        {name: hyperparameters[name].clip(values) for name, values in changed(length).items()}
    )
