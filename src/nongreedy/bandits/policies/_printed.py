"""The algorithms as printed, corrected: sizes from what the theorem takes as known, then commit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from ...errors import check_number, check_whole
from ...schedules import Value
from .._batch import Batch, Plan
from ..problems import Ball
from ..zeroth import Estimator, OnePoint
from ._policy import Policy, need_vector

_LONG = 1 << 20  # plays of one batch after the commitment


@dataclass(frozen=True)
class Known(Value):
    r"""What the theorem takes as known of a quadratic reward.

    Args:
        leading: :math:`\lambda_1`.
        gap: :math:`\Delta = \lambda_1 - |\lambda_2|`.

    Raises:
        ValueError: A gap that is not in (0, leading].

    Example:
        >>> Known(leading=1.0, gap=0.5).condition
        2.0
    """

    leading: float = 1.0
    gap: float = 1.0

    def __post_init__(self) -> None:
        check_number("leading", self.leading)
        check_number("gap", self.gap, " Without one, use SubspaceIteration.")
        if self.gap > self.leading:
            raise ValueError(f"`gap` {self.gap} cannot exceed `leading` {self.leading}.")

    @property
    def condition(self) -> float:
        r""":math:`\kappa = \lambda_1/\Delta`."""
        return self.leading / self.gap

    def accuracy(self, size: int, rounds: int) -> float:
        r"""The :math:`\varepsilon` that a horizon calls for: :math:`(\kappa d^2/(\Delta^2 T))^{1/4}`."""
        return min(0.9, (self.condition * size**2 / (self.gap**2 * rounds)) ** 0.25)


@dataclass(frozen=True)
class PowerThenCommit(Policy):
    r"""The noisy power method with a known gap: L steps of n plays, then what they found for ever.

    .. math:: n = C d^2 \log(d/\delta)/(\Delta^2\varepsilon^2),\qquad
        L = \lceil \kappa \log(d/\varepsilon) \rceil

    Args:
        accuracy: :math:`\varepsilon`; :meth:`Known.accuracy` gives that of a horizon.
        known: Eigenvalue and gap.
        constant: C.
        failure: :math:`\delta`.
        plays: n, instead of the formula.
        steps: L, instead of the formula.
        estimator: Of the gradient; the printed one is :class:`OnePoint`.

    Source: arXiv:2107.04518, algorithm 1. The printed box divides by (lambda_1 alpha)^2, which is 0 for
    rank one; its proof needs Delta^2, and kappa in L, as here.

    Cannot: do without what it takes as known. :class:`NoisyPower` can.

    Example:
        >>> PowerThenCommit(accuracy=0.5, plays=100, steps=3).sizes(8)
        (100, 3)
    """

    accuracy: float
    known: Known = field(default_factory=Known)
    constant: float = 1.0
    failure: float = 0.1
    plays: int | None = None
    steps: int | None = None
    estimator: Estimator = field(default_factory=OnePoint)

    def __post_init__(self) -> None:
        for name in ("accuracy", "failure"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(
                    f"`{name}` must lie between 0 and 1, but got {getattr(self, name)}."
                )
        check_number("constant", self.constant)
        for name in ("plays", "steps"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name))

    def check(self, ball: Ball) -> None:
        need_vector(self, ball)

    def sizes(self, size: int) -> tuple[int, int]:
        """Plays of a step, and steps, in so many dimensions."""
        known, e = self.known, self.accuracy
        plays = self.constant * size**2 * math.log(size / self.failure) / (known.gap * e) ** 2
        steps = known.condition * math.log(size / e)
        return self.plays or math.ceil(plays), self.steps or math.ceil(steps)

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        self.check(ball)
        plays, steps = self.sizes(ball.size)
        action = ball.sphere(1, draw)[0]
        for _ in range(steps):
            told = yield from self.estimator.plan(action, plays, draw)
            action = ball.normalised(told.gradient)
        yield from commit(action)


def commit(action: torch.Tensor) -> Plan[None]:
    """One action for ever."""
    while True:
        yield Batch(action[None], _LONG, heard=False, choice=action)
