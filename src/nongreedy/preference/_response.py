"""How somebody answers whose utilities are known: the probability of each slot of a slate."""

from __future__ import annotations

import abc
import math
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from torch import Tensor


class Response(abc.ABC):
    """Probabilities of answers.

    Slots come first, samples last: utilities have the shape (k, ..., m), and the scale of the noise (m,).
    """

    @abc.abstractmethod
    def probabilities(self, utilities: Tensor, noise: Tensor) -> Tensor:
        """Of each slot, shape (k, ..., m), of sum 1 over slots."""

    def pull_back(self, utilities: Tensor, noise: Tensor, adjoint: Tensor) -> Tensor:
        """The adjoint of utilities for that of probabilities, both of shape (k, ..., m)."""
        raise NotImplementedError(f"{self} has no derivative; follow the one of {self.smooth()}.")

    def smooth(self) -> Response:
        """What gradients follow in its place: itself, where it has a derivative."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Its name and settings."""
        return {"class": type(self).__name__, **asdict(self)}  # type: ignore[call-overload]


@final
@dataclass(frozen=True)
class Logistic(Response):
    r"""The usual model of discrete choice.

    .. math:: P(i) = e^{u \cdot q_i / \tau} / \sum_l e^{u \cdot q_l / \tau}

    Example:
        >>> Logistic().probabilities(torch.tensor([[0.0], [0.0]]), torch.tensor([1.0])).tolist()
        [[0.5], [0.5]]
    """

    def probabilities(self, utilities: Tensor, noise: Tensor) -> Tensor:
        if len(utilities) == 2:  # as below, in a quarter of the time
            gap = (utilities[0] - utilities[1]) / noise
            return torch.stack([gap, -gap]).sigmoid_()
        return torch.softmax(utilities / noise, 0)

    def pull_back(self, utilities: Tensor, noise: Tensor, adjoint: Tensor) -> Tensor:
        chosen = self.probabilities(utilities, noise)
        return chosen * (adjoint - (chosen * adjoint).sum(0)) / noise


@final
@dataclass(frozen=True)
class Probit(Response):
    r"""Pairs alone: utilities with normal noise of deviation tau on each item.

    .. math:: P(1) = \Phi\big(u \cdot (q_1 - q_2) / (\sqrt 2 \tau)\big)

    Cannot: slates of three or more, whose probabilities have no closed form.

    Example:
        >>> Probit().probabilities(torch.tensor([[0.0], [0.0]]), torch.tensor([1.0])).tolist()
        [[0.5], [0.5]]
    """

    def probabilities(self, utilities: Tensor, noise: Tensor) -> Tensor:
        gap = self._gap(utilities, noise)
        return torch.stack([torch.special.ndtr(gap), torch.special.ndtr(-gap)])

    def pull_back(self, utilities: Tensor, noise: Tensor, adjoint: Tensor) -> Tensor:
        gap = self._gap(utilities, noise)
        density = torch.exp(-gap.square() / 2) / math.sqrt(2 * math.pi)
        first = density * (adjoint[0] - adjoint[1]) / (math.sqrt(2) * noise)
        return torch.stack([first, -first])

    def _gap(self, utilities: Tensor, noise: Tensor) -> Tensor:
        if len(utilities) != 2:
            raise ValueError(
                f"Probit() answers pairs, but got a slate of {len(utilities)}. Ask pairs, or use "
                "Logistic()."
            )
        return (utilities[0] - utilities[1]) / (math.sqrt(2) * noise)


@final
@dataclass(frozen=True)
class Noiseless(Response):
    """Always the best; whoever is level shares.

    Cannot: forgive. An answer that no sample would have given is refused.

    Example:
        >>> Noiseless().probabilities(torch.tensor([[2.0], [1.0]]), torch.tensor([1.0])).tolist()
        [[1.0], [0.0]]
    """

    def probabilities(self, utilities: Tensor, noise: Tensor) -> Tensor:
        del noise
        best = (utilities == utilities.amax(0)).to(utilities.dtype)
        return best / best.sum(0)

    def smooth(self) -> Response:
        return Logistic()


@final
@dataclass(frozen=True)
class ConstantError(Response):
    """The best, except for a share of answers that are drawn among all alike.

    Args:
        error: That share, above 0 and below 1.

    Example:
        >>> ConstantError(0.5).probabilities(torch.tensor([[2.0], [1.0]]), torch.tensor([1.0])).tolist()
        [[0.75], [0.25]]
    """

    error: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.error < 1:
            raise ValueError(
                f"`error` must be above 0 and below 1, but got {self.error!r}. Without errors: Noiseless()."
            )

    def probabilities(self, utilities: Tensor, noise: Tensor) -> Tensor:
        certain = Noiseless().probabilities(utilities, noise)
        return (1 - self.error) * certain + self.error / len(utilities)

    def smooth(self) -> Response:
        return Logistic()


RESPONSES: tuple[Response, ...] = (Logistic(), Probit(), Noiseless(), ConstantError())
