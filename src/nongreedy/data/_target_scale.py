"""Real targets: in units of their own deviation while they are learned, and how to come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import DataError


@final
@dataclass(frozen=True)
class TargetScale:
    r"""What was taken out of real targets.

    .. math:: y = \mu + \sigma \, t

    with targets t and values y in their own units; the mean and the standard deviation are those of
    the training part. A mean squared error of targets, L, is a root mean squared error of
    :math:`\sigma \sqrt L` in the units of y.

    Attributes:
        name: Of what is predicted, such as a column.
        mean: :math:`\mu`.
        deviation: :math:`\sigma > 0`.

    Example:
        >>> scale = TargetScale("price", mean=100.0, deviation=20.0)
        >>> scale.rmse(torch.tensor([[0.5]]), torch.tensor([[0.0]]))
        10.0
    """

    name: str
    mean: float
    deviation: float

    @classmethod
    def of(cls, name: str, values: Tensor) -> TargetScale:
        """Those of these values, which are finite.

        Raises:
            DataError: If all are the same, or too large to have a deviation.
        """
        if values.min() == values.max():
            raise DataError(
                f"{name} has the same value, {float(values[0]):g}, in all {len(values)} training examples: "
                "there is nothing to learn. Predict another."
            )
        variance, mean = torch.var_mean(values.double(), correction=0)
        if not bool(variance.isfinite()):
            raise DataError(
                f"{name} has values too large to compute with, {float(values.max()):g}. Rescale it."
            )
        return cls(name, float(mean), float(variance.sqrt()))

    def targets(self, values: Tensor) -> Tensor:
        """Of values ``(N,)``, float32 ``(N, 1)``, as a network gives its outputs."""
        return ((values.double() - self.mean) / self.deviation).float().unsqueeze(1)

    def rmse(self, output: Tensor, target: Tensor) -> float:
        """Root mean squared error, in the units of the values; for `metric=` of :class:`nongreedy.Task`."""
        return self.deviation * float((output - target).double().square().mean().sqrt())
