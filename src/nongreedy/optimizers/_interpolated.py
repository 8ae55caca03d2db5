"""An optimizer around which weights are averaged schedule-free: gradients between the last and the mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from ..schedules import Basis
from ..schedules._average import retained
from ._average import Average
from ._optimizer import Optimizer, Values

_SLOTS = 3


@final
@dataclass(frozen=True)
class Interpolated(Optimizer):
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

    base: Optimizer = field(kw_only=False)

    def __post_init__(self) -> None:
        average = self._average
        object.__setattr__(self, "slots", self.base.slots + _SLOTS)
        object.__setattr__(self, "learnable", {**self.base.learnable, **average.learnable})
        if "learning_rate" not in self.base.learnable:
            raise ValueError(
                f"{average!r} weighs by the learning rate, which {type(self.base).__name__} does not have. "
                "Use ng.TailAverage or ng.ExponentialAverage."
            )

    @property
    def _average(self) -> Average:
        assert self.average is not None
        return self.average

    def given(self) -> Mapping[str, Basis | float]:
        """The base's settings, then the average's."""
        return {**self.base.given(), **self._average.given()}

    def init(self, parameters: Tensor) -> Tensor:
        """The base's state, no ways, and nothing in the average."""
        if torch.finfo(parameters.dtype).bits < 32:
            raise ValueError(
                f"{parameters.dtype} does not resolve what a step adds to an average "
                f"({self.average!r}). Use dtype=torch.float32, with torch.autocast in the model."
            )
        rest = parameters.new_zeros(_SLOTS, parameters.numel())
        return torch.cat([self.base.init(parameters), rest])

    def answer(self, state: Tensor) -> Tensor:
        """x, shape (..., P)."""
        return state[..., 0, :] + state[..., -2, :]

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """The base's update from y, then the average's."""
        return self._after(state, self.base.update(state[:-_SLOTS], gradient, values), values)

    @torch.no_grad()
    def advance(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """Likewise, by the base's own way of doing so."""
        return self._after(state, self.base.advance(state[:-_SLOTS], gradient, values), values)

    def _after(self, state: Tensor, moved: Tensor, values: Values) -> Tensor:
        to_z, to_x, held = state[-3:]
        mixing = values[self._average.name]
        kept, held = retained(held, *self._average.weights(values))
        apart = kept * (moved[0] - state[0] + to_z - to_x)
        y = moved[0] + to_z - mixing * apart
        own = [mixing * apart, (mixing - 1) * apart, held]
        return torch.cat([y[None], moved[1:], torch.stack(own)])

    def clip(self, gradient: Tensor) -> Tensor:
        """The base's."""
        return self.base.clip(gradient)

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """The base's: who attaches a schedule to it keeps the average."""
        return self.base.torch_optimizer(parameters)
