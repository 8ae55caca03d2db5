"""Sets of actions: unit balls, one or several at once, and boxes of settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_whole
from ...schedules import Value

_ROUNDING = 1e-9  # of a norm that should be at most 1


@dataclass(frozen=True)
class Ball(Value):
    r"""Actions of norm at most 1: one vector or matrix, or a product of several balls.

    .. math:: \{a : \|a_q\| \le 1,\ q = 1 .. \text{slots}\}

    The largest inner product with a gradient is attained at the normalised gradient, so that a full
    Frank-Wolfe step on the ball *is* the step of the power method: :meth:`support`.

    Args:
        shape: Of one action: (d,), or (d, d') for matrices and their Frobenius norm.
        slots: Into how many vectors of norm at most 1 each the action falls, along its first axis.

    Raises:
        ValueError: A size below 1, or slots that do not divide the first axis.

    Example:
        >>> import torch
        >>> Ball((2,)).support(torch.tensor([3.0, 4.0]))
        (tensor(5.), tensor([0.6000, 0.8000]))
    """

    shape: tuple[int, ...]
    slots: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        check_whole("slots", self.slots)
        for size in self.shape:
            check_whole("shape", size)
        if not self.shape or self.shape[0] % self.slots:
            raise ValueError(
                f"`slots` must divide the first axis, but got {self.slots}, {self.shape}."
            )

    @property
    def size(self) -> int:
        """Numbers of one action."""
        return math.prod(self.shape)

    def norms(self, actions: Tensor) -> Tensor:
        """Of each vector of each action, shape (..., slots)."""
        return self._split(actions).norm(dim=-1)

    def support(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        return self.norms(direction).sum(-1), self.normalised(direction)

    def normalised(self, actions: Tensor) -> Tensor:
        """Every vector scaled to norm 1; zero stays zero."""
        parts = self._split(actions)
        norms = parts.norm(dim=-1, keepdim=True)
        return (parts / norms.where(norms > 0, 1.0)).reshape(actions.shape)

    def project(self, point: Tensor) -> Tensor:
        parts = self._split(point)
        return (parts / parts.norm(dim=-1, keepdim=True).clamp(min=1)).reshape(point.shape)

    def round(self, point: Tensor) -> Tensor:
        """The ball is its own relaxation."""
        return self.project(point)

    def sphere(self, count: int, draw: torch.Generator) -> Tensor:
        """So many actions whose vectors are uniform on the unit sphere, float64."""
        normal = torch.randn(count, *self.shape, generator=draw, dtype=torch.float64)
        return self.normalised(normal)

    def check(self, actions: Tensor) -> None:
        """Raise ValueError where an action has another shape, is not finite, or lies outside."""
        if tuple(actions.shape[1:]) != self.shape:
            raise ValueError(
                f"Actions must have shape (n, {', '.join(map(str, self.shape))}), but got "
                f"{tuple(actions.shape)}."
            )
        worst = float(self.norms(actions).max()) if len(actions) else 0.0
        if not worst <= 1 + _ROUNDING:
            raise ValueError(
                f"Actions must have norm at most 1, but one has {worst}: `project` it."
            )

    def _split(self, actions: Tensor) -> Tensor:
        leading = actions.shape[: actions.dim() - len(self.shape)]
        return actions.reshape(*leading, self.slots, -1)


@dataclass(frozen=True)
class Box(Value):
    """Settings between bounds, some of them whole numbers.

    Args:
        low, high: Bounds, each shape (d,).
        whole: Which coordinates are whole numbers, shape (d,); None: none.

    Raises:
        ValueError: A bound that is not finite, a lower bound that is not below its upper one, or a whole
            coordinate without a whole number between its bounds.

    Example:
        >>> import torch
        >>> box = Box(torch.zeros(2), torch.tensor([1.0, 8.0]), whole=torch.tensor([False, True]))
        >>> box.round(torch.tensor([0.3, 9.2])).tolist()
        [0.30000001192092896, 8.0]
    """

    low: Tensor
    high: Tensor
    whole: Tensor | None = None

    def __post_init__(self) -> None:
        low, high = torch.as_tensor(self.low), torch.as_tensor(self.high)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)
        if low.shape != high.shape or low.dim() != 1 or not bool((low < high).all()):
            raise ValueError(
                f"`low` must lie below `high` in each of (d,) coordinates: {low}, {high}."
            )
        if not bool(torch.isfinite(low).all() and torch.isfinite(high).all()):
            raise ValueError(f"Bounds must be finite, but are {low}, {high}.")
        if self.whole is not None:
            whole = torch.as_tensor(self.whole, dtype=torch.bool)
            object.__setattr__(self, "whole", whole)
            if whole.shape != low.shape or bool((low.ceil() > high.floor())[whole].any()):
                raise ValueError(
                    f"No whole number lies between the bounds {low}, {high} of {whole}."
                )

    def support(self, direction: Tensor) -> tuple[Tensor, Tensor]:
        corner = torch.where(direction > 0, self.high, self.low).to(direction.dtype)
        return (corner * direction).sum(), corner

    def project(self, point: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(point, self.low.to(point)), self.high.to(point))

    def round(self, point: Tensor) -> Tensor:
        point = self.project(point)
        if self.whole is None:
            return point
        nearest = torch.minimum(point.round(), self.high.floor().to(point))
        return torch.where(self.whole, torch.maximum(nearest, self.low.ceil().to(point)), point)
