"""Phased elimination for symmetric tensors: many starts, of which the worse leave, and UCB1 on the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import check_number, check_whole
from ...protocols import Estimate
from .._batch import Batch, Plan
from ..problems import Ball
from ..zeroth import Estimator, TangentSphere
from ._doubling import KNOWN, STEPS, Doubling, Found
from ._policy import need_vector


@dataclass(frozen=True)
class _Candidate:
    action: Tensor
    value: float = 0.0
    deviation: float = math.inf
    error: float = 1.0


@dataclass(frozen=True)
class PhasedElimination(Doubling):
    r"""Power steps from several starts for rewards of degree p >= 3, and UCB1 among those that stay.

    In each phase a candidate takes a few steps, its reward is estimated, and it leaves if that lies below
    :math:`\hat\lambda\,(1 - p\,\hat\varepsilon^2/4)` by more than the noise, :math:`\hat\lambda` and
    :math:`\hat\varepsilon^2` being reward and squared relative error of the best. Candidates that came to
    the same action are one. The next phase has steps of twice as many plays.

    Args:
        order: p.
        candidates: Starts; some multiple of the rank.
        first: Plays of a step in the first phase, doubled from phase to phase; None: four for each
            dimension.
        estimator: Of the gradient; None: :class:`TangentSphere` of this degree. The printed one is
            ``TwoPoint(order)``.

    Source: arXiv:2107.04518, algorithm for SYM. There the plays, 2 log(2d) steps of them and the threshold
    take the largest value as known; here all come from what was heard.

    Cannot: tell the components of a tensor that is not orthogonal.

    Example:
        >>> from nongreedy import bandits
        >>> problem = bandits.SymmetricTensorBandit.planted(5, [1.0], order=3, seed=0, noise=0.1)
        >>> played = bandits.play(problem, PhasedElimination(order=3), rounds=100_000, seed=0)
        >>> played.final > 0.9
        True
    """

    order: int = 3
    candidates: int = 4
    estimator: Estimator | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("order", self.order, 2)
        check_whole("candidates", self.candidates)

    def check(self, ball: Ball) -> None:
        need_vector(self, ball)

    def explore(
        self, ball: Ball, state: list[_Candidate] | None, plays: int, draw: torch.Generator
    ) -> Plan[Found]:
        estimator = self.estimator or TangentSphere(self.order)
        plays = max(plays, estimator.least(ball.size))
        told, best = list[_Candidate](), None
        for each in state or [_Candidate(start) for start in ball.sphere(self.candidates, draw)]:
            each = yield from self._improved(each, estimator, plays, ball, draw, best)
            told.append(each)
            stands_out = each.error < 0.5 and each.value > 3 * each.deviation
            if stands_out and (best is None or each.value > best.value):
                best = each
        if best is None:
            return Found(None, None)
        kept = self._kept(told, best)
        return Found(kept, best.action, min(1.0, best.error))

    def _improved(
        self,
        each: _Candidate,
        estimator: Estimator,
        plays: int,
        ball: Ball,
        draw: torch.Generator,
        best: _Candidate | None,
    ) -> Plan[_Candidate]:
        """After the phase's steps, with its reward measured anew."""
        choice, error, action = best and best.action, 1.0, each.action
        # Once it has settled one step is as good as many.
        steps = 1 if each.error < 0.25 else STEPS
        for _ in range(steps):
            told = yield from _rechosen(estimator.plan(action, plays, draw), choice)
            size = float(told.gradient.square().sum())
            error = float(told.standard_error.square().sum()) / max(size, 1e-300)
            action = ball.normalised(told.gradient)
        heard = (yield Batch(action[None], max(2, plays), choice=choice))[0]
        value, deviation = float(heard.mean()), float(heard.std()) / len(heard) ** 0.5
        return _Candidate(action, value, deviation, error)

    def _kept(self, told: list[_Candidate], best: _Candidate) -> list[_Candidate]:
        """Those that may be the best, each action once, the best first."""
        threshold = best.value * (1 - self.order * min(1.0, best.error) / 4)
        kept = list[_Candidate]()
        for each in sorted(told, key=lambda each: -each.value):
            near = each.value + 2 * (each.deviation + best.deviation) >= threshold
            # What is still noise may be on its way to better, until the best is known well.
            near = near or (each.error >= 0.5 and best.error > KNOWN)
            same = each.error < 0.5 and any(
                float((each.action - other.action).square().sum()) < 4 * (each.error + other.error)
                for other in kept
            )
            if near and not same:
                kept.append(each)
        return kept

    def exploit(self, found: Found, plays: int) -> Plan[None]:
        """UCB1 among the candidates that stand out."""
        arms = [each for each in found.state if each.error < 0.5]
        if len(arms) < 2:
            yield from super().exploit(found, plays)
            return
        yield from ucb1([arm.action for arm in arms], plays)


def _rechosen(plan: Plan[Estimate], choice: Tensor | None) -> Plan[Estimate]:
    """A plan whose batches name another choice: a candidate is not what would be returned."""
    try:
        batch = next(plan)
        while True:
            batch = plan.send((yield replace(batch, choice=choice)))
    except StopIteration as end:
        return end.value


def ucb1(actions: list[Tensor], plays: int, growth: float = 0.1) -> Plan[None]:
    """UCB1 among some actions; an arm is played again by a tenth of its plays at a time.

    Its radius takes the deviation of the rewards heard, in place of a bound that is known.

    Source: Auer, Cesa-Bianchi & Fischer 2002.
    """
    check_number("growth", growth)
    counts, sums, squares = [0] * len(actions), [0.0] * len(actions), [0.0] * len(actions)
    done = 0
    while done < plays:
        spread = max(_deviation(*each) for each in zip(counts, sums, squares, strict=True))
        bounds = [
            total / count + spread * math.sqrt(2 * math.log(done) / count)
            if count > 1
            else math.inf
            for count, total in zip(counts, sums, strict=True)
        ]
        arm = bounds.index(max(bounds))
        tried = [k for k in range(len(actions)) if counts[k]]
        choice = actions[max(tried, key=lambda k: sums[k] / counts[k])] if tried else None
        repeats = min(plays - done, max(2, int(growth * counts[arm])))
        heard = yield Batch(actions[arm][None], repeats, choice=choice)
        counts[arm] += repeats
        sums[arm] += float(heard.sum())
        squares[arm] += float(heard.square().sum())
        done += repeats


def _deviation(count: int, total: float, squares: float) -> float:
    if count < 2:
        return 0.0
    return math.sqrt(max(0.0, squares / count - (total / count) ** 2))
