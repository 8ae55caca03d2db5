"""Long hyperparameters, such as a weight per example: moved along what their gradients agree on."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ._observation import Observation

_USUAL = 20.0  # how many coefficients the usual noise of a sweep counts as
_TYPICAL = 0.5  # how far an average coefficient moves, of the block's longest step


class Descent(NamedTuple):
    """A step of a block.

    Attributes:
        step: In outer steps, each coefficient at most 1.
        change: Of the loss, as far as slopes tell, for a step of length 1.
        trusted: Share of the mean slope's square that is no noise, from 0 to 1.
    """

    step: Tensor
    change: float
    trusted: float


def descent(observations: Sequence[Observation], places: Tensor, centre: Tensor) -> Descent:
    r"""Downhill along the mean slope of a block, by what its seeds have in common.

    .. math:: d_i = -\tau\, \mathrm{clip}(\bar g_i / (2 \sqrt{\overline{g^2}}), -1, 1), \qquad
              \tau = \max(0, 1 - \sigma^2 / (n\, \overline{g^2}))

    with :math:`\sigma^2` the scatter of slopes over seeds, which one seed alone does not tell. In the mean
    :math:`\bar g` a sweep weighs less the farther away it was made, and the larger its slopes are: nearly all
    of them is noise, of which a chaotic run has most. Signs that differ between seeds carry no information.
    """
    told = [o for o in observations if o.slope is not None and bool(o.slope[places].any())]
    if not told:  # a network that died has slopes of 0, which say nothing
        return Descent(torch.zeros(len(places), dtype=torch.float64), 0.0, 0.0)
    slopes = torch.stack([o.slope[places] for o in told if o.slope is not None])
    away = torch.stack([(o.place - centre)[places].square().mean() for o in told])
    weight = 1 / ((1 + away) * _noise(slopes))
    share = weight / weight.sum()
    mean = share @ slopes
    power, trusted = float(mean.square().mean()), 1.0
    if len(told) > 1 and power > 0:
        # Of the mean: slopes of one seed each, of which there are as many as weights are even.
        scatter = float((share**2 @ (slopes - mean).square()).mean() / (1 - (share**2).sum()))
        trusted = max(0.0, 1 - scatter / power)
    if power == 0:
        return Descent(torch.zeros_like(mean), 0.0, 0.0)
    step = -trusted * (_TYPICAL * mean / power**0.5).clamp(-1, 1)
    return Descent(step, float(mean @ step), trusted)


def _noise(slopes: Tensor) -> Tensor:
    """The variance of each sweep's slopes, shape (n,): their mean square; of short blocks nearly that of
    the others."""
    power, count = slopes.square().mean(1), slopes.shape[1]
    return (count * power + _USUAL * power.median()) / (count + _USUAL)
