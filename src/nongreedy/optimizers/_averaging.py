"""What optimizers around which weights are averaged share: a state around the state of a base."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..schedules import Basis
from ._average import Average
from ._optimizer import Optimizer, Values


@dataclass(frozen=True)
class Averaging(Optimizer):
    """The base's slots, then the average's: the last but one is the way from slot 0 to the average, the
    last what the average holds.

    Args:
        base: An optimizer without an average.
        average: Of its weights.
    """

    base: Optimizer = field(kw_only=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slots", self.base.slots + self._average.slots)
        learnable = {**self.base.learnable, **self._average.learnable}
        object.__setattr__(self, "learnable", learnable)

    @property
    def _average(self) -> Average:
        assert self.average is not None
        return self.average

    def given(self) -> Mapping[str, Basis | float]:
        """The base's settings, then the average's."""
        return {**self.base.given(), **self._average.given()}

    def init(self, parameters: Tensor) -> Tensor:
        """The base's state, no way to the average, and nothing in it."""
        if torch.finfo(parameters.dtype).bits < 32:
            raise ValueError(
                f"{parameters.dtype} does not resolve what a step adds to an average "
                f"({self.average!r}). Use dtype=torch.float32, with torch.autocast in the model."
            )
        rest = parameters.new_zeros(self._average.slots, parameters.numel())
        return torch.cat([self.base.init(parameters), rest])

    def answer(self, state: Tensor) -> Tensor:
        """The average, shape (..., P)."""
        return state[..., 0, :] + state[..., -2, :]

    def of_base(self, state: Tensor) -> Tensor:
        """The base's part of a state, or of an adjoint of one."""
        return state[: self.base.slots]

    @abc.abstractmethod
    def after(self, state: Tensor, moved: Tensor, values: Values) -> Tensor:
        """The whole state, once the base has moved its part."""

    def update(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """The base's update, then the average's."""
        moved = self.base.update(self.of_base(state), gradient, values)
        return self.after(state, moved, values)

    @torch.no_grad()
    def advance(self, state: Tensor, gradient: Tensor, values: Values) -> Tensor:
        """Likewise, by the base's own way of doing so."""
        moved = self.base.advance(self.of_base(state), gradient, values)
        return self.after(state, moved, values)

    def clip(self, gradient: Tensor) -> Tensor:
        """The base's."""
        return self.base.clip(gradient)

    def torch_optimizer(self, parameters: Any) -> torch.optim.Optimizer:
        """The base's: who attaches a schedule to it keeps the average."""
        return self.base.torch_optimizer(parameters)
