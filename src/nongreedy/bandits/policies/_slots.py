"""Rewards that are linear in each of several vectors: one vector after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...errors import check_whole
from .._batch import Batch, Plan
from ..problems import Ball
from ..zeroth import GaussianDirections, Sphere
from ..zeroth._linear import coefficients
from ._doubling import KNOWN, Doubling, Found


@dataclass(frozen=True)
class _Start:
    """An action that is being improved, its reward, and the squared relative error of its slots."""

    action: Tensor
    value: float = 0.0
    deviation: float = float("inf")
    error: float = 1.0


@dataclass(frozen=True)
class AlternatingSlots(Doubling):
    r"""Power steps for products of vectors: each slot becomes the normalised gradient, in turn.

    .. math:: a_j \leftarrow \widehat{\nabla_j f}/\|\widehat{\nabla_j f}\|,\qquad
        \widehat{\nabla_j f} = d\,\frac1n\sum_i r_i g_i,\quad r_i \text{ with } g_i \text{ in slot } j

    Several starts are improved side by side; those whose reward is significantly below the best leave.

    Args:
        starts: How many; tensors of rank k have as many maxima, and the paper takes (2k)^p.
        first: Plays of the first step; None: four for each number of an action.
        directions: Of g: on the unit sphere, or the paper's Gaussian ones.

    Source: arXiv:2107.04518, class ASYM; whole directions in place of (1 - eps) a + eps g, elimination and
    doubling ours.

    Cannot: know that a better maximum exists where no start has come near.

    Example:
        >>> from nongreedy import bandits
        >>> problem = bandits.TensorBandit.planted(4, [1.0], order=3, seed=0, noise=0.1)
        >>> bandits.play(problem, AlternatingSlots(), rounds=50_000, seed=0).final > 0.9
        True
    """

    starts: int = 4
    directions: Sphere | GaussianDirections = field(default_factory=Sphere)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("starts", self.starts)

    def check(self, ball: Ball) -> None:
        if ball.slots < 2 or len(ball.shape) != 2 or ball.shape[0] != ball.slots:
            raise ValueError(
                f"AlternatingSlots plays p vectors, shape (p, d), but actions have shape {ball.shape} "
                f"with {ball.slots} slots."
            )

    def explore(
        self, ball: Ball, state: list[_Start] | None, plays: int, draw: torch.Generator
    ) -> Plan[Found]:
        starts = state or [_Start(action) for action in ball.sphere(self.starts, draw)]
        improved = list[_Start]()
        best: _Start | None = None
        for start in starts:
            for _ in range(4):
                start = yield from self._sweep(start, plays, draw, best and best.action)
            told = (yield Batch(start.action[None], max(2, plays), choice=best and best.action))[0]
            deviation = float(told.std()) / len(told) ** 0.5
            start = _Start(start.action, float(told.mean()), deviation, start.error)
            improved.append(start)
            if _stands_out(start) and (best is None or start.value > best.value):
                best = start
        if best is None:
            # Noise: what was tried is no better than what can be drawn.
            return Found(None, None)
        # What is still noise may be on its way to better, until the best is known well.
        kept = [
            start
            for start in improved
            if start.value + 2 * (start.deviation + best.deviation) >= best.value
            or (start.error >= 0.5 and best.error > KNOWN)
        ]
        return Found(kept, best.action, min(1.0, best.error))

    def _sweep(
        self, start: _Start, plays: int, draw: torch.Generator, choice: Tensor | None
    ) -> Plan[_Start]:
        action, errors = start.action, 0.0
        for slot in range(len(action)):

            def replaced(g: Tensor, action: Tensor = action, slot: int = slot) -> Tensor:
                actions = action.expand(len(g), *action.shape).clone()
                actions[:, slot] = g
                return actions

            image, error = yield from coefficients(
                self.directions, action.shape[1], plays, replaced, draw, choice
            )
            size = float(image.square().sum())
            errors += float(error.square().sum()) / max(size, 1e-300)
            action = action.clone()
            action[slot] = image / max(size, 1e-300) ** 0.5
        return _Start(action, start.value, start.deviation, errors)


def _stands_out(start: _Start) -> bool:
    return start.error < 0.5 and start.value > 3 * start.deviation
