"""The contract of a policy."""

from __future__ import annotations

import abc

import torch

from ...schedules import Value
from .._batch import Plan
from ..problems import Ball


class Policy(Value, abc.ABC):
    """How to choose actions. A policy is its settings; whoever plays it keeps what was heard.

    Leaves are frozen dataclasses. :func:`play` runs one on a problem, and a :class:`Player` runs one on
    rewards from anywhere.
    """

    def check(self, ball: Ball) -> None:
        """Raise ValueError where it has no actions for this set."""

    @abc.abstractmethod
    def plan(self, ball: Ball, draw: torch.Generator) -> Plan[None]:
        """Batches of actions without end; draws come from `draw` alone."""


def need_vector(policy: Policy, ball: Ball) -> None:
    """Raise ValueError unless actions are single vectors."""
    if len(ball.shape) != 1 or ball.slots != 1:
        raise ValueError(
            f"{type(policy).__name__} plays vectors of the unit ball, shape (d,), but actions have shape "
            f"{ball.shape} with {ball.slots} slots. LowRankPower plays matrices, AlternatingSlots products."
        )
