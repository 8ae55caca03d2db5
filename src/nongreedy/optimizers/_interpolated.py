"""An optimizer around which weights are averaged schedule-free: gradients between the last and the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..schedules._average import retained
from ._averaging import Averaging
from ._optimizer import Values


@final
@dataclass(frozen=True)
class Interpolated(Averaging):
    r"""What ``SGD(average=ScheduleFreeAverage())`` is in a run: a state around the state of the base.

    Slot 0 is y, where gradients are taken; then come the base's other slots, the ways from y to z and
    to x, and the sum of squared rates. Of a step of the base from y to m,

    .. math:: z' = m + (z - y), \qquad d' = \rho (z' - x), \qquad
              y' = z' - b d', \quad z' - y' = b d', \quad x' - y' = -(1 - b) d'

    with :math:`\rho` what is kept of the average, so that the ways begin with zeros.

    Args:
        base: An optimizer without an average.
        average: A :class:`ScheduleFreeAverage`.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if "learning_rate" not in self.base.learnable:
            raise ValueError(
                f"{self.average!r} weighs by the learning rate, which {type(self.base).__name__} does not "
                "have. Use ng.TailAverage or ng.ExponentialAverage."
            )

    def after(self, state: Tensor, moved: Tensor, values: Values) -> Tensor:
        """The whole state, once the base has moved its part from y."""
        to_z, to_x, held = state[-3:]
        mixing = values[self._average.name]
        kept, held = retained(held, *self._average.weights(values))
        apart = kept * (moved[0] - state[0] + to_z - to_x)
        y = moved[0] + to_z - mixing * apart
        own = [mixing * apart, (mixing - 1) * apart, held]
        return torch.cat([y[None], moved[1:], torch.stack(own)])
