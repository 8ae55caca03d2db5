"""Long hyperparameters, such as a weight per example: moved along what their gradients agree on."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ._observation import Observation

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

    with :math:`\sigma^2` the scatter of slopes over seeds, which one seed alone does not tell, and less
    weight for slopes from farther away. Signs that differ between seeds carry no information.
    """
    rows, weights = list[Tensor](), list[float]()
    for told in observations:
        if told.slope is not None:
            rows.append(told.slope[places])
            away = (told.place - centre)[places].square().mean().sqrt()
            weights.append(1 / (1 + float(away) ** 2))
    if not rows:
        return Descent(torch.zeros(len(places), dtype=torch.float64), 0.0, 0.0)
    slopes, weight = torch.stack(rows), torch.tensor(weights, dtype=torch.float64)
    share = weight / weight.sum()
    mean = share @ slopes
    power, trusted = float(mean.square().mean()), 1.0
    if len(rows) > 1 and power > 0:
        # Of the mean: slopes of one seed each, of which there are as many as weights are even.
        scatter = float((share**2 @ (slopes - mean).square()).mean() / (1 - (share**2).sum()))
        trusted = max(0.0, 1 - scatter / power)
    if power == 0:
        return Descent(torch.zeros_like(mean), 0.0, 0.0)
    step = -trusted * (_TYPICAL * mean / power**0.5).clamp(-1, 1)
    return Descent(step, float(mean @ step), trusted)
