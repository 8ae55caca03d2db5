"""Explore, then exploit for as long as what was found deserves, then explore with twice as much."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...errors import check_whole
from .._batch import Batch, Plan
from ..problems import Ball
from ._policy import Policy

# Of an exploration at most: while noise hides the signal, the next one with more plays is worth more.
# Chosen among 2, 3, 4, 6 and 2 log2(2d) on planted quadratics of 8 to 32 dimensions.
STEPS = 3
KNOWN = 1 / 16  # squared relative error of the best, below which starts that are noise are given up
_LONGEST = 100.0  # times what was explored: no estimate of an error is trusted beyond


@dataclass(frozen=True)
class Found:
    """What exploring came to.

    Attributes:
        state: From which the next, larger exploration goes on.
        action: To be exploited; None while nothing stands out of the noise.
        error: About how far the action is from the best, as a share of the best reward.
    """

    state: Any
    action: Tensor | None
    error: float = 1.0


@dataclass(frozen=True)
class Doubling(Policy):
    """Explorations of doubling size, and between them exploitation that costs as much as they did.

    If exploring with N plays leaves an error of K/N, exploiting for N / error plays costs about as much
    regret as the N did, so that the regret of T plays is of the order of sqrt(K T), for every T and
    without knowing K. Errors come from the standard errors of what was heard.

    Args:
        first: Plays of the first exploration; None: four for each dimension.
    """

    first: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.first is not None:
            check_whole("first", self.first, 2)

    @abc.abstractmethod
    def explore(self, ball: Ball, state: Any, plays: int, draw: torch.Generator) -> Plan[Found]:
        """Explore by steps of about `plays`, from the state of the last time, None at first."""

    def exploit(self, found: Found, plays: int) -> Plan[None]:
        """Use what was found."""
        assert found.action is not None
        yield Batch(found.action[None], plays, heard=False, choice=found.action)

    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        self.check(ball)
        plays, state, explored = self.first or 4 * ball.size, None, 0
        while True:
            exploring = counted(self.explore(ball, state, plays, draw))
            found, spent = yield from exploring
            state, explored = found.state, explored + spent
            if found.action is not None:
                share = min(_LONGEST, 1 / max(found.error, 1 / _LONGEST))
                yield from self.exploit(found, math.ceil(explored * share))
            plays *= 2


def counted(plan: Plan[Any]) -> Plan[tuple[Any, int]]:
    """The same plan; with what it returns comes how many plays it asked for."""
    spent = 0
    try:
        batch = next(plan)
        while True:
            spent += batch.plays
            batch = plan.send((yield batch))
    except StopIteration as end:
        return end.value, spent
