"""The power method on noisy rewards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .._batch import Plan
from ..problems import Ball
from ..zeroth import Estimator, TangentSphere
from ._doubling import STEPS, Doubling, Found
from ._policy import need_vector

_AGREE = (
    3.0  # times what noise alone explains of the squared distance between successive directions
)
_CERTAIN = 0.25  # a squared relative error below which a direction stands out of the noise


@dataclass(frozen=True)
class _Direction:
    """A unit vector, and what was met on the way to it.

    Attributes:
        error: Its squared relative standard error; 1 means noise.
        value: About its reward.
        negative: Unit vectors of negative eigenvalues.
        shift: The largest magnitude of those eigenvalues, and a little more.
        found: Whether the vector is of a positive eigenvalue, so that it is polished, not searched for.
        doubt: The largest reward that noise may still hide.
    """

    vector: Tensor
    error: float = 1.0
    value: float = 0.0
    negative: tuple[Tensor, ...] = ()
    shift: float = 0.0
    found: bool = False
    doubt: float = 1.0

    def without_negative(self, vectors: Tensor) -> Tensor:
        """What is orthogonal to the negative directions."""
        if not self.negative:
            return vectors
        basis = torch.linalg.qr(torch.stack(self.negative, 1)).Q
        return vectors - basis @ (basis.T @ vectors)


@dataclass(frozen=True)
class NoisyPower(Doubling):
    r"""The power method for quadratic rewards: estimate :math:`Ma` from rewards, and go all the way.

    .. math:: a \leftarrow \widehat{Ma} / \|\widehat{Ma}\|

    Each step replaces the action, so that the more of the best direction it has, the stronger the signal.
    An exploration ends when successive directions agree within their standard error, or after three
    steps; what stands out of the noise is exploited, and the next exploration goes on from there with
    twice as many plays for each step. Neither the noise nor the
    gap nor the horizon has to be known.

    A negative eigenvalue of large magnitude attracts the method, too: its sign tells. Its vector is left
    out of the search for a positive one, and once that is found, a multiple of :math:`\|a\|^2` added to
    all rewards makes it dominant. Where nothing positive stands out, the action 0 is exploited.

    Args:
        first: Plays of the first step; None: four for each dimension.
        estimator: How a step estimates the gradient; its degree must be 2.

    Source: arXiv:2107.04518, algorithm 1 (noisy power method), with the estimator, the stopping and the
    doubling ours.

    Cannot: promise its rate where the two largest eigenvalues are so close that directions do not settle:
    the reward is then good long before the vector is (:class:`SubspaceIteration`).

    Example:
        >>> from nongreedy import bandits
        >>> problem = bandits.QuadraticBandit.planted(5, [1.0], seed=0, noise=0.1)
        >>> bandits.play(problem, NoisyPower(), rounds=4000, seed=0).final > 0.95
        True
    """

    estimator: Estimator = field(default_factory=TangentSphere)

    def check(self, ball: Ball) -> None:
        need_vector(self, ball)
        if self.estimator.degree != 2:
            raise ValueError(
                f"NoisyPower is for rewards of degree 2, but `estimator` has {self.estimator.degree}: "
                "PhasedElimination takes those of higher degree."
            )

    def explore(
        self, ball: Ball, state: _Direction | None, plays: int, draw: torch.Generator
    ) -> Plan[Found]:
        plays = max(plays, self.estimator.least(ball.size))
        held, error = state or _Direction(ball.sphere(1, draw)[0]), 1.0
        for _ in range(STEPS):
            told = yield from self.estimator.plan(held.vector, plays, draw)
            image, noise = told.gradient / 2, float(told.standard_error.square().sum()) / 4
            before, held = held, _moved(held, image, noise, ball, draw)
            # A shifted step goes only a part of the way that is left.
            part = max(held.value, 1e-12) / (held.value + held.shift) if held.found else 1.0
            away = float((held.vector - before.vector).square().sum()) / part**2
            explained = before.error + held.error
            error = held.error + max(0.0, away - explained)
            if held.error < _CERTAIN and away <= _AGREE * explained:
                held = replace(held, found=True) if held.negative else _joined(before, held)
                break
        if error < 0.5 and held.value > 0:
            return Found(held, held.vector, error)
        if held.negative:
            return Found(held, torch.zeros_like(held.vector), min(1.0, held.doubt / held.shift))
        return Found(held, None)


def _moved(
    held: _Direction, image: Tensor, noise: float, ball: Ball, draw: torch.Generator
) -> _Direction:
    """The next direction, from an estimate of M times the last one with this squared standard error."""
    value, size = float(image @ held.vector), float(image.square().sum())
    doubt = math.sqrt(noise)
    if noise < _CERTAIN * size and value < 0 and value**2 > 0.5 * size:
        met = (*held.negative, image / math.sqrt(size))
        if len(met) >= ball.size:
            met = held.negative
        fresh = replace(held, negative=met, shift=max(held.shift, 1.1 * math.sqrt(size)))
        vector = fresh.without_negative(ball.sphere(1, draw)[0])
        return replace(
            fresh, vector=vector / vector.norm(), error=1.0, value=value, found=False, doubt=doubt
        )
    image = image + held.shift * held.vector if held.found else held.without_negative(image)
    size = float(image.square().sum())
    if size == 0:
        return replace(held, error=1.0, value=value, doubt=doubt)
    # Errors of shifted steps add up over several of them.
    gained = size - held.shift**2 if held.found else size
    error = min(1.0, noise / gained) if gained > 0 else 1.0
    vector = image / math.sqrt(size)
    return replace(held, vector=vector, error=error, value=value, doubt=doubt)


def _joined(old: _Direction, new: _Direction) -> _Direction:
    """Two independent measurements of one direction, weighed by their errors."""
    if new.error <= 0:
        return new
    weight = 1 / max(old.error, new.error)
    vector = new.vector / new.error + old.vector * weight
    return replace(new, vector=vector / vector.norm(), error=1 / (1 / new.error + weight))
