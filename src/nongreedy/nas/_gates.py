"""Gates: from the norm of the weights that an option needs to whether it is taken."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import check_number

_TINY = 1e-12  # so that a reference of zeros divides nothing by zero


def straight_through(distance: Tensor) -> Tensor:
    r"""A step forwards, a sigmoid backwards.

    .. math:: s = 1[x \ge 0], \qquad \partial s / \partial x := \sigma'(x)

    Args:
        distance: x, any shape: how far something lies above its threshold.

    Source: arXiv:1904.02877.

    Example:
        >>> x = torch.tensor([-1.0, 0.0], requires_grad=True)
        >>> straight_through(x).tolist()
        [0.0, 1.0]
    """
    soft = torch.sigmoid(distance)
    return (distance >= 0).to(distance.dtype) + (soft - soft.detach())


class Gate(abc.ABC):
    """How far the weights that an option needs lie above their threshold."""

    @abc.abstractmethod
    def distance(
        self, weights: Tensor, reference: Tensor, threshold: Tensor, progress: float
    ) -> Tensor:
        """What :func:`straight_through` takes: not negative where the option is taken, shape ().

        Args:
            weights: Those that the option needs.
            reference: Others of the same kind, which it does not need.
            threshold: Shape ().
            progress: Of the search, from 0 to 1.
        """

    def to_json(self) -> dict[str, object]:
        """Its class and settings."""
        return {"class": type(self).__name__, **vars(self)}


@final
@dataclass(frozen=True)
class PaperGate(Gate):
    r"""The raw norm against a threshold, as published.

    .. math:: x = \|w_S\|_2 - t

    Source: arXiv:1904.02877 and its released code, which takes the plain norm.

    Cannot: be told apart from the scale of the initial weights. At the paper's widths
    sigma'(x) begins between 1e-5 and 1e-17, so that thresholds hardly move.

    Example:
        >>> PaperGate().distance(torch.tensor([3.0, 4.0]), torch.ones(1), torch.tensor(1.0), 0.0)
        tensor(4.)
    """

    def distance(
        self, weights: Tensor, reference: Tensor, threshold: Tensor, progress: float
    ) -> Tensor:
        return torch.linalg.vector_norm(weights) - threshold


@final
@dataclass(frozen=True)
class ScaleFreeGate(Gate):
    r"""The root mean square against that of a sibling, so that scale and width do not matter.

    .. math:: x = \frac{1}{T}\Bigl(\frac{\mathrm{rms}(w_S)}{\mathrm{rms}(w_\mathrm{ref})} - t\Bigr)

    with a temperature T that falls geometrically, and no gradient through the reference.

    Args:
        first: T where the search begins.
        last: T where it ends.

    Example:
        >>> gate, w = ScaleFreeGate(), torch.tensor([3.0, 4.0])
        >>> round(gate.distance(10 * w, 10 * w, torch.tensor(0.5), 0.0).item(), 4)
        0.5
    """

    first: float = 1.0
    last: float = 0.1

    def __post_init__(self) -> None:
        check_number("first", self.first)
        check_number("last", self.last)

    def distance(
        self, weights: Tensor, reference: Tensor, threshold: Tensor, progress: float
    ) -> Tensor:
        temperature = self.first * (self.last / self.first) ** progress
        ratio = rms(weights) / (rms(reference.detach()) + _TINY)
        return (ratio - threshold) / temperature


def rms(weights: Tensor) -> Tensor:
    """The root of the mean square, shape (); zero, with a gradient of zero, of zeros."""
    return torch.linalg.vector_norm(weights) / math.sqrt(weights.numel())
