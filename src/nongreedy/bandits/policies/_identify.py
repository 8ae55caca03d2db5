"""Noiseless polynomial rewards: as few plays as there are unknowns, and one system of equations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..._extras import needed
from ...errors import SolveError, check_whole
from .._batch import Batch, Plan
from ..problems import Ball, PolynomialBandit
from ._policy import Policy, need_vector
from ._printed import commit

_RESTARTS = 100
_EXACT = (
    1e-9  # a residual, as a share of the rewards, below which the network is that of the rewards
)


@dataclass(frozen=True)
class PolynomialIdentification(Policy):
    r"""Identify a network of powers from 2dk + 1 random plays without noise, then play its best action.

    .. math:: \min_{\lambda, V} \sum_i \Big(r_i - \sum_j \lambda_j (v_j^\top a_i)^{p_j}\Big)^2

    is solved by Levenberg-Marquardt from random starts, until one fits exactly. A sum of squares that is
    not zero proves nothing, so without an exact fit there is no answer, but an error.

    Args:
        degrees: :math:`p_j` of each unit.
        samples: Plays; None: 2dk + 1.

    Raises:
        SolveError: While it plays: no start fits exactly. Rewards have noise, or other degrees.

    Source: arXiv:2107.04518, class P, which gives no solver.

    Cannot: bear noise.

    Example:
        >>> from nongreedy import bandits
        >>> problem = bandits.PolynomialBandit.planted(6, [2, 2], seed=0)
        >>> played = bandits.play(problem, PolynomialIdentification((2, 2)), rounds=100)
        >>> round(played.final, 6)
        1.0
    """

    degrees: tuple[int, ...] = (2,)
    samples: int | None = None

    def __post_init__(self) -> None:
        needed("Identifying a polynomial", "scipy")
        object.__setattr__(self, "degrees", tuple(self.degrees))
        for degree in self.degrees:
            check_whole("degrees", degree)
        if self.samples is not None:
            check_whole("samples", self.samples)

    def check(self, ball: Ball) -> None:
        need_vector(self, ball)
        least = (ball.size + 1) * len(self.degrees)
        if self.samples is not None and self.samples < least:
            raise ValueError(
                f"`samples` must be at least as many as the unknowns, {least}, but is {self.samples}."
            )

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        self.check(ball)
        samples = self.samples or 2 * ball.size * len(self.degrees) + 1
        actions = ball.sphere(samples, draw)
        rewards = (yield Batch(actions))[:, 0]
        network = identify(actions, rewards, self.degrees, draw)
        yield from commit(network.best()[1])


def identify(
    actions: Tensor, rewards: Tensor, degrees: tuple[int, ...], draw: torch.Generator
) -> PolynomialBandit:
    """The network that gives these rewards, by Levenberg-Marquardt from random starts.

    Args:
        actions: Shape (n, d).
        rewards: Shape (n,), without noise.
        degrees: Of the units, k of them.

    Raises:
        SolveError: No start fits exactly.
    """
    from scipy.optimize import least_squares

    solve: Any = least_squares  # its stubs take no function for a Jacobian

    x, y, powers = actions.numpy(), rewards.numpy(), np.array(degrees)
    units, size = len(degrees), x.shape[1]
    scale = max(float(np.sqrt(np.mean(y**2))), 1e-300)

    def split(parameters: Any) -> tuple[Any, Any]:
        return parameters[:units], parameters[units:].reshape(size, units)

    def residual(parameters: Any) -> Any:
        values, vectors = split(parameters)
        return ((x @ vectors) ** powers @ values - y) / scale

    def jacobian(parameters: Any) -> Any:
        values, vectors = split(parameters)
        inner = x @ vectors
        slope = values * powers * inner ** (powers - 1)
        to_vectors = (x[:, :, None] * slope[:, None, :]).reshape(len(x), -1)
        return np.concatenate([inner**powers, to_vectors], 1) / scale

    for _ in range(_RESTARTS):
        start = torch.randn(units * (size + 1), generator=draw, dtype=torch.float64).numpy()
        start[units:] /= math.sqrt(size)
        # The scale of a unit stands twice in the parameters, which Levenberg-Marquardt's damping bears.
        found = solve(residual, start, jacobian, method="lm", xtol=1e-15, ftol=1e-15,
                              gtol=1e-15, max_nfev=400)  # fmt: skip
        if np.sqrt(np.mean(found.fun**2)) < _EXACT:
            values, vectors = split(found.x)
            return PolynomialBandit(torch.tensor(values), torch.tensor(vectors), degrees)
    raise SolveError(
        f"No network of degrees {degrees} gives the {len(y)} rewards exactly, from {_RESTARTS} starts. "
        "Rewards must have no noise; or name other degrees."
    )
