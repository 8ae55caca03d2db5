"""Optimistic baselines: linear UCB on lifted features, and eluder UCB on a finite class of functions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import check_number, check_whole
from .._batch import Batch, Plan
from ..problems import Ball
from ._policy import Policy


def lifted(actions: Tensor) -> Tensor:
    r"""Features in which the class is linear: the entries of a matrix, or :math:`a a^\top` of a vector.

    Of the symmetric matrix each entry stands once, those off the diagonal times the root of 2.

    Args:
        actions: Shape (n, d) or (n, d, d').

    Returns:
        Shape (n, d (d + 1) / 2) or (n, d d').
    """
    if actions.dim() == 3:
        return actions.flatten(1)
    rows, columns = torch.triu_indices(actions.shape[1], actions.shape[1])
    scale = torch.where(rows == columns, 1.0, math.sqrt(2.0)).to(actions.dtype)
    return actions[:, rows] * actions[:, columns] * scale


@dataclass(frozen=True)
class LinearUCB(Policy):
    r"""LinUCB on lifted features, over a finite set of random actions.

    .. math:: \arg\max_a\ \hat\theta^\top\phi(a)
        + \beta_t \|\phi(a)\|_{V_t^{-1}},\qquad
        \beta_t = \sigma\sqrt{D\log(1 + t/D) + 2\log(1/\delta)} + \sqrt{\rho}

    Args:
        actions: The set, shape (n, *shape); None: `count` random ones.
        count: How many random actions.
        noise: :math:`\sigma`.
        ridge: :math:`\rho`.
        failure: :math:`\delta`.
        width: Times the radius: 1 is the theorem's, less is usual in practice.

    Source: Abbasi-Yadkori, Pal & Szepesvari 2011.

    Cannot: reach the best action but by luck, as none of the finite set need be near it.

    Example:
        >>> LinearUCB(count=50).count
        50
    """

    actions: Tensor | None = None
    count: int = 2000
    noise: float = 1.0
    ridge: float = 1.0
    failure: float = 0.05
    width: float = 1.0

    def __post_init__(self) -> None:
        check_whole("count", self.count)
        check_number("noise", self.noise, zero=True)
        check_number("ridge", self.ridge)
        check_number("width", self.width, zero=True)

    def check(self, ball: Ball) -> None:
        if ball.slots != 1 or len(ball.shape) > 2:
            raise ValueError(f"LinearUCB plays vectors or matrices, but actions have {ball}.")
        if self.actions is not None:
            ball.check(self.actions)

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        self.check(ball)
        actions = ball.sphere(self.count, draw) if self.actions is None else self.actions.double()
        features = lifted(actions)
        size = features.shape[1]
        inverse = torch.eye(size, dtype=torch.float64) / self.ridge
        widths = features.square().sum(1) / self.ridge  # of each action, phi' V^-1 phi
        means, rounds = torch.zeros(len(actions), dtype=torch.float64), 0
        held, choice = -1, None
        while True:
            radius = math.sqrt(size * math.log1p(rounds / size) + 2 * math.log(1 / self.failure))
            radius = self.width * (self.noise * radius + math.sqrt(self.ridge))
            place = int((means + radius * widths.clamp(min=0).sqrt()).argmax())
            heard = float((yield Batch(actions[place][None], choice=choice))[0, 0])
            # Sherman-Morrison, carried over to what the actions need of the inverse.
            column = inverse @ features[place]
            across, denominator = features @ column, 1 + float(widths[place])
            surprise = heard - float(means[place])
            inverse -= torch.outer(column, column) / denominator
            means += across * (surprise / denominator)
            widths -= across.square() / denominator
            rounds += 1
            if (best := int(means.argmax())) != held:
                held, choice = best, actions[best]


@dataclass(frozen=True)
class EluderUCB(Policy):
    r"""Optimism on a finite class: the action whose reward is largest under any function still possible.

    .. math:: \arg\max_a \max_{h \in H_t} h(a),\qquad
        H_t = \Big\{h : \sum_s (h(a_s) - r_s)^2 \le \min_{h'} \sum_s (h'(a_s) - r_s)^2 + \beta\Big\}

    Args:
        table: Reward of each action under each function, shape (functions, actions).
        actions: Shape (actions, *shape).
        slack: :math:`\beta`; 0 without noise.

    Raises:
        ValueError: Shapes that do not fit.

    Source: Russo & Van Roy 2013.

    Cannot: choose an action for what it tells: optimism plays only what may be best, and that is why it
    fails on classes where only other actions tell much.

    Example:
        >>> import torch
        >>> EluderUCB(torch.eye(2), torch.eye(2)).slack
        0.0
    """

    table: Tensor
    actions: Tensor
    slack: float = 0.0

    def __post_init__(self) -> None:
        check_number("slack", self.slack, zero=True)
        if self.table.dim() != 2 or self.table.shape[1] != len(self.actions):
            shapes = tuple(self.table.shape), tuple(self.actions.shape)
            raise ValueError(f"`table` and `actions` must be (h, n), (n, ...), but are {shapes}.")

    def check(self, ball: Ball) -> None:
        ball.check(self.actions)

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        table, actions = self.table.double(), self.actions.double()
        losses = torch.zeros(len(table), dtype=torch.float64)
        while True:
            possible = losses <= losses.min() + self.slack + 1e-12
            place = int(table[possible].amax(0).argmax())
            choice = actions[place] if int(possible.sum()) == 1 else None
            heard = (yield Batch(actions[place][None], choice=choice))[0, 0]
            losses += (table[:, place] - heard).square()
