"""The values of a run that changes its hyperparameters as it goes, and what moves them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import nearest_name
from ..schedules import Hyperparameter, Variable

MakeOptimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


class OnlineValues:
    """One number per learned hyperparameter, or one variable, moved in its own coordinate.

    Args:
        hyperparameters: Those that move.
        rate: Outer learning rate, one for all or name -> one.
        make: A ``torch.optim`` optimizer from parameter groups that have their ``lr``.

    Attributes:
        now: Name -> present value, shape () or the variable's, float64, in its own units.

    Raises:
        ValueError: A hyperparameter with several initial values; a rate that is missing, unknown or
            not a positive finite number.
    """

    def __init__(
        self,
        hyperparameters: Mapping[str, Hyperparameter],
        rate: float | Mapping[str, float],
        make: MakeOptimizer,
    ):
        self._table, rates = hyperparameters, _rates(rate, hyperparameters)
        self.now = {name: _first(hyper) for name, hyper in hyperparameters.items()}
        self._coordinates = {n: h.to_coordinate(self.now[n]) for n, h in hyperparameters.items()}
        self._outer = make([{"params": [c], "lr": rates[n]} for n, c in self._coordinates.items()])

    def move(self, gradients: Mapping[str, Tensor]) -> None:
        """One step against these derivatives, each in its value's own units; then into the bounds."""
        for name, hyper in self._table.items():
            slope = hyper.gradient_in_coordinate(self.now[name], gradients[name].double().cpu())
            self._coordinates[name].grad = slope
        self._outer.step()
        for name, hyper in self._table.items():
            # Left outside, a coordinate would first have to come all the way back.
            lowest, highest = hyper.to_coordinate(torch.tensor(hyper.bounds, dtype=torch.float64))
            coordinate = self._coordinates[name].clamp_(lowest, highest)
            self.now[name] = hyper.to_value(coordinate.clone())

    def __str__(self) -> str:
        return ", ".join(f"{name}={_text(value)}" for name, value in self.now.items())


def _text(value: Tensor) -> str:
    if value.numel() == 1:
        return f"{value.item():.4g}"
    return f"{value.numel()} values from {value.min().item():.4g} to {value.max().item():.4g}"


def _first(hyper: Hyperparameter) -> Tensor:
    if isinstance(hyper.basis, Variable):
        return hyper.initial.clone().view(hyper.basis.shape)
    if len(hyper.initial.unique()) > 1:
        raise ValueError(
            f"{hyper.name} starts from {len(hyper.initial)} values, {hyper.initial.tolist()}, but an "
            "online run moves one number. Give it one `initial`, and a basis over time."
        )
    return hyper.initial[0].clone()


def _rates(rate: float | Mapping[str, float], names: Mapping[str, Any]) -> Mapping[str, float]:
    table = dict(rate if isinstance(rate, Mapping) else dict.fromkeys(names, rate))
    for name in table:
        if name not in names:
            raise ValueError(
                f"`outer_learning_rate` names {name!r}, which is not learned."
                + nearest_name(name, names)
            )
    for name in names:
        value = table.get(name)
        if not isinstance(value, (int, float)) or not (value > 0 and math.isfinite(value)):
            raise ValueError(
                f"`outer_learning_rate` of {name} must be a positive finite number, but got "
                f"{value!r}. Give one number for all, or a number for each of {list(names)}."
            )
    return table
