"""The contract of an outer rule: how schedules are improved."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from ...schedules import Default, Hyperparameter, Schedule
from .. import Objective, Status


@dataclass(frozen=True)
class Report:
    """What one outer step saw: the part of a history row that only the rule knows."""

    schedule: Schedule
    loss: float
    accuracy: float | None
    signs: dict[str, str]
    accepted: bool
    note: str = ""


S = TypeVar("S", bound="OuterState")


@dataclass(frozen=True)
class OuterState:
    """Where a rule stands. Leaves add their own fields.

    Attributes:
        schedule: The schedule that the next step starts from.
        index: Outer steps taken.
        status: Set once the rule is done.
    """

    schedule: Schedule
    index: int = 0
    status: Status | None = None


class OuterRule(abc.ABC, Generic[S]):
    """Improves schedules, one outer step at a time.

    Attributes:
        defaults: Where the search begins and in which coordinate it moves, by hyperparameter name;
            goes before the optimizer's own defaults.
        finalists: How many of the best schedules meet again on common fresh seeds at the end, in
            rounds after which the worse half leaves.
        finalist_seeds: Seeds per round.
    """

    defaults: ClassVar[Mapping[str, Default]] = {}
    finalists: int
    finalist_seeds: int

    @abc.abstractmethod
    def init(self, hyperparameters: Mapping[str, Hyperparameter], steps: int) -> S:
        """State before the first outer step, for runs of `steps` inner steps."""

    @abc.abstractmethod
    def step(self, state: S, objective: Objective) -> tuple[S, Report]:
        """One outer step."""

    def done(self, state: S) -> Status | None:
        """Why the search is over, or None."""
        return state.status

    def close(self, state: S, objective: Objective) -> None:
        """After the last step: evaluate a proposal that was never run, so that it may win."""
        del state, objective

    @abc.abstractmethod
    def with_seeds(self, seeds: int | None) -> OuterRule[Any]:
        """The same rule with another number of seeds per hypergradient; None leaves it."""


def sign_text(signs: Tensor) -> str:
    """``+``, ``-`` and ``0`` for each entry."""
    return "".join("0+-"[int(sign)] for sign in torch.sign(signs).tolist())
