"""Signal against noise of each coefficient's hypergradient, over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engines import Hypergradient
from ..schedules import Basis
from ._noise import error_of_mean, on_basis

CLEAR = 2.0  # standard errors at which a mean stands out of its noise


@dataclass(frozen=True)
class Signal:
    r"""One hyperparameter's hypergradients over seeds, coefficient by coefficient.

    Attributes:
        mean: Over the seeds, shape (size of the basis,), in the value's own units.
        noise: Standard deviation of one seed; as far as one seed alone can tell, from the scatter of
            its steps or an estimating engine's error.
        ratio: Signal to noise of one seed, ``|mean| / noise``; infinite without noise, and 0 where
            the mean is 0.
        agreement: Share of the seeds that have the sign of the mean.
        error: Standard error of the mean.
    """

    mean: Tensor
    noise: Tensor
    ratio: Tensor
    agreement: Tensor
    error: Tensor

    @property
    def clear(self) -> Tensor:
        """Whether the mean exceeds two of its standard errors."""
        return self.mean.abs() > CLEAR * self.error

    def seeds_for(self, share: float = 0.5) -> float:
        """Seeds with which a share of the coefficients would stand out at this noise."""
        needed = ((CLEAR / self.ratio.clamp(min=1e-9)) ** 2).clamp(min=1)
        return float(needed.quantile(share))


def signal_of(
    hypergradients: Sequence[Hypergradient], name: str, basis: Basis, steps: int
) -> Signal:
    """Compare the hypergradients of several seeds, each also with what it says of its own noise."""
    mean, scatter, stated = error_of_mean(hypergradients, name, basis, steps)
    error = scatter if len(hypergradients) > 1 else stated
    noise = error * len(hypergradients) ** 0.5
    signs = torch.stack([on_basis(h, name, basis, steps) for h in hypergradients]).sign()
    agreement = (signs == mean.sign()).double().mean(0)
    ratio = torch.where(mean == 0, 0.0, mean.abs() / noise)
    return Signal(mean, noise, ratio, agreement, error)
