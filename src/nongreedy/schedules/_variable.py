"""A tensor-valued hyperparameter that holds throughout a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ._basis import Basis


@final
@dataclass(frozen=True, repr=False)
class Variable(Basis):
    """A tensor that holds throughout the run: pixels, weights of examples, penalties of weights.

    For hyperparameters of a :class:`Task`, of any size; an outer rule sees its entries as a flat
    vector. `initial` gives the shape.

    Raises:
        ValueError: No initial values, or an empty tensor.

    Cannot: change over the run, or stand for a setting of an optimizer.

    Example:
        >>> import torch
        >>> Variable(initial=torch.zeros(10, 784))
        Variable(shape=(10, 784))
    """

    kind: ClassVar[str] = "variable"

    def __post_init__(self) -> None:
        if self.initial is None or torch.as_tensor(self.initial).numel() == 0:
            raise ValueError(
                "A Variable needs initial values, at least one: Variable(initial=torch.zeros(3))."
            )

    def __repr__(self) -> str:
        return f"Variable(shape={self.shape})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return tuple(torch.as_tensor(self.initial).shape)

    def shape_settings(self) -> Mapping[str, Any]:
        return {"shape": self.shape}

    def size(self, steps: int) -> int:
        return math.prod(self.shape)

    def expand(self, coefficients: Tensor, steps: int) -> Tensor:
        """The tensor at every step, shape (steps, *shape), without copies."""
        return coefficients.to(torch.float64).view(self.shape).expand(steps, *self.shape)

    def project(self, per_step: Tensor, steps: int) -> Tensor:
        """The sum over the steps, flat, in float64."""
        return per_step.to(torch.float64).sum(0).reshape(-1)

    def starts(self, steps: int) -> list[int]:
        """All act from the beginning."""
        return [0] * self.size(steps)
