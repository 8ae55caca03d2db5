"""Optimizers for ordinary training loops that ``torch.optim`` lacks."""

import abc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class PlainOptimizer(torch.optim.Optimizer, abc.ABC):
    """A ``torch.optim.Optimizer`` that moves one parameter at a time."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step on every parameter that has a gradient; the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self.move(parameter, parameter.grad, group)
        return loss

    @abc.abstractmethod
    def move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Change the parameter in place."""
