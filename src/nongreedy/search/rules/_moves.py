"""Ways to change a schedule by some length: along a direction, or without a derivative."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...schedules import Curve, Schedule, Windows
from ...schedules._schedule import moved
from ._rungs import Hyperparameters, automatic, cut

Move = Callable[[float], Schedule]
Direction = Mapping[str, Tensor]
COOLED = "learning_rate"  # what is lowered when a run diverges, and along the cooling ramp
_DECAY = "weight_decay"
# Name of the average over gradients -> power of 1 - beta by which the learning rate goes along:
# SGD at the same effective rate alpha / (1 - beta); Adam at the same size of updates, which noisy
# gradients make proportional to alpha sqrt(1 - beta).
_TRADED = {"momentum": 1.0, "beta1": -0.5}


def ray(schedule: Schedule, hyperparameters: Hyperparameters, direction: Direction) -> Move | None:
    """Along a direction; None where it is zero."""
    if not any(bool(step.any()) for step in direction.values()):
        return None
    return lambda length: moved(schedule, hyperparameters, direction, length)


def cooling(schedule: Schedule, hyperparameters: Hyperparameters) -> Move | None:
    """A lower learning rate everywhere, by outer steps."""
    if COOLED not in hyperparameters:
        return None
    return ray(schedule, hyperparameters, {COOLED: -torch.ones_like(schedule[COOLED])})


def ramp(schedule: Schedule, hyperparameters: Hyperparameters) -> Move | None:
    """From nothing at the first coefficient of the learning rate to one outer step down at the last."""
    if COOLED not in hyperparameters or len(schedule[COOLED]) < 2:
        return None
    return ray(schedule, hyperparameters, {COOLED: -_places(schedule.curves[COOLED])})


def tail(
    schedule: Schedule, hyperparameters: Hyperparameters, share: float, narrowest: float = 0.0
) -> Move | None:
    """A lower learning rate in the last share of the last automatic window, by outer steps.

    None where that would be less than `narrowest`, relative to the run.
    """
    if COOLED not in hyperparameters or not automatic(hyperparameters[COOLED].basis):
        return None
    curve = schedule.curves[COOLED]
    assert isinstance(curve.basis, Windows)
    length = share * (1 - curve.basis.borders()[-2])
    if length < narrowest:
        return None
    cooled = Schedule({**schedule.curves, COOLED: cut(curve, [1 - length])}, schedule.settings)
    last = torch.zeros_like(cooled[COOLED])
    last[-1] = -1.0
    return ray(cooled, hyperparameters, {COOLED: last})


def _places(curve: Curve) -> Tensor:
    """Where each coefficient stands, from 0 for the first to 1 for the last."""
    count = len(curve.coefficients)
    if not curve.edges:
        return torch.linspace(0, 1, count, dtype=torch.float64)
    bounds = torch.tensor([0.0, *curve.edges, 1.0], dtype=torch.float64)
    middles = (bounds[1:] + bounds[:-1]) / 2
    return (middles - middles[0]) / (middles[-1] - middles[0])


def regularize(schedule: Schedule, hyperparameters: Hyperparameters) -> Move | None:
    """More weight decay everywhere, by outer steps: where it is small, so is its derivative."""
    if _DECAY not in hyperparameters:
        return None
    more = (schedule[_DECAY] < hyperparameters[_DECAY].bounds[1]).double()
    return ray(schedule, hyperparameters, {_DECAY: more})


def traded(hyperparameters: Hyperparameters) -> str | None:
    """What can be exchanged for learning rate; None where nothing can."""
    names = (name for name in _TRADED if name in hyperparameters)
    return next(names, None) if COOLED in hyperparameters else None


def exchange(schedule: Schedule, hyperparameters: Hyperparameters, sign: int) -> Move | None:
    r"""Momentum for learning rate, by decades, at the same effective size of steps.

    .. math:: 1 - \beta \to 10^{-kl} (1 - \beta), \qquad \alpha \to 10^{-pkl} \alpha

    with :math:`k` the sign, :math:`l` the length and :math:`p` 1 for SGD, -1/2 for Adam. Where steps
    are small, only :math:`\alpha / (1 - \beta)` matters to SGD, and where gradients are noisy,
    :math:`\alpha \sqrt{1 - \beta}` to Adam, so that the hypergradient pushes both for what they do
    together; what momentum itself is worth shows at a distance. None where one of them is not learned,
    or where half a decade leaves the bounds.
    """
    name = traded(hyperparameters)
    if name is None:
        return None

    def exchanged(length: float) -> dict[str, Tensor]:
        factor = 10.0 ** (-sign * length)
        rate = schedule[COOLED] * factor ** _TRADED[name]
        return {COOLED: rate, name: 1 - (1 - schedule[name]) * factor}

    def clipped(values: Direction) -> dict[str, Tensor]:
        return {name: hyperparameters[name].clip(value) for name, value in values.items()}

    half = exchanged(0.5)
    if not all(torch.equal(value, half[name]) for name, value in clipped(half).items()):
        return None
    return lambda length: schedule.with_coefficients(clipped(exchanged(length)))
