"""The contract of a bandit problem: a mean reward on a set of actions, and noise."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from ...errors import check_number
from ...schedules import Value
from ._sets import Ball


class Bandit(Value, abc.ABC):
    r"""A reward :math:`f(a)` + noise, on unit balls, whose best value is known.

    Subclasses are frozen dataclasses with a field `noise`, the standard deviation of Gaussian noise.

    Attributes:
        ball: The set of actions.
        noise: Standard deviation of the noise of one reward.
    """

    noise: float

    @property
    @abc.abstractmethod
    def ball(self) -> Ball:
        """The set of actions."""

    @abc.abstractmethod
    def mean(self, actions: Tensor) -> Tensor:
        """The mean reward :math:`f` of each action: shape (n, *ball.shape) -> (n,)."""

    @abc.abstractmethod
    def best(self) -> tuple[float, Tensor]:
        """The largest mean reward, and an action that attains it."""

    @property
    def optimum(self) -> float:
        """The largest mean reward."""
        return self.best()[0]

    def rewards(self, actions: Tensor, draw: torch.Generator) -> Tensor:
        """What is heard of each action: its mean reward and fresh noise, shape (n,).

        Raises:
            ValueError: An action of another shape, or outside the ball.
        """
        self.ball.check(actions)
        means = self.mean(actions)
        if not self.noise:
            return means
        return means + self.noise * torch.randn(means.shape, generator=draw, dtype=means.dtype)

    def regret(self, actions: Tensor) -> Tensor:
        """How far each action's mean reward lies below the best, shape (n,)."""
        self.ball.check(actions)
        return self.optimum - self.mean(actions)


def as_float64(problem: object, **arrays: object) -> None:
    """Set arrays of a frozen problem as float64 tensors, refusing NaN and infinity and bad noise."""
    for name, array in arrays.items():
        tensor = torch.as_tensor(array, dtype=torch.float64)
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"`{name}` must be finite, but got {array!r}.")
        object.__setattr__(problem, name, tensor)
    check_number("noise", getattr(problem, "noise", None), zero=True)


def orthonormal(rows: int, columns: int, draw: torch.Generator) -> Tensor:
    """A uniformly drawn matrix of orthonormal columns, shape (rows, columns), float64."""
    if columns > rows:
        raise ValueError(f"{columns} orthonormal vectors do not fit into {rows} dimensions.")
    q, r = torch.linalg.qr(torch.randn(rows, columns, generator=draw, dtype=torch.float64))
    return q * r.diagonal().sign()  # without the signs a QR is not uniform


def check_orthonormal(vectors: Tensor, name: str) -> None:
    """Raise ValueError unless columns are orthonormal."""
    gram = vectors.mT @ vectors
    off = float((gram - torch.eye(gram.shape[-1], dtype=gram.dtype)).abs().max())
    if not off <= 1e-8:
        raise ValueError(
            f"The columns of `{name}` must be orthonormal, but their products are off by {off:.1e}: the "
            "best action of other tensors is not known. torch.linalg.qr makes them so."
        )
