"""The contract of an outer rule: how schedules are improved."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from ...engines import Engine, Problem
from ...errors import check_whole
from ...schedules import Default, Hyperparameter, Schedule, Value
from .._objective import Objective
from .._outer_step import StepOutcome
from .._result import Status

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


class OuterRule(Value, abc.ABC, Generic[S]):
    """Improves schedules, one outer step at a time.

    A rule is a value, as an engine is: its public attributes are its settings.

    Attributes:
        defaults: Where the search begins and in which coordinate it moves, by hyperparameter name;
            goes before the optimizer's own defaults.
        finalists: How many of the best schedules meet again on common fresh seeds at the end, in
            rounds after which the worse half leaves.
        finalist_seeds: Seeds per round.
        start: Where a search begins that is not told: ``"practice"`` or ``"zero"``.
        gradient_free: Whether it moves what no gradient reaches (:class:`GradientFree`).
    """

    start: ClassVar[str] = "zero"
    gradient_free: ClassVar[bool] = False
    defaults: ClassVar[Mapping[str, Default]] = {}
    finalists: int = 3
    finalist_seeds: int = 2

    @property
    def final(self) -> float:
        """Plain runs that a full final comparison takes: rounds whose field halves."""
        return 2.0 * self.finalists * self.finalist_seeds

    @abc.abstractmethod
    def init(self, hyperparameters: Mapping[str, Hyperparameter], steps: int) -> S:
        """State before the first outer step, for runs of `steps` inner steps."""

    @abc.abstractmethod
    def step(self, state: S, objective: Objective) -> tuple[S, StepOutcome]:
        """One outer step."""

    def done(self, state: S) -> Status | None:
        """Why the search is over, or None."""
        return state.status

    def close(self, state: S, objective: Objective) -> None:
        """After the last step: evaluate a proposal that was never run, so that it may win."""
        del state, objective

    def suited(self, problem: Problem) -> OuterRule[Any]:
        """The rule for this problem: itself, or another one where it cannot help."""
        del problem
        return self

    def alternatives(self, problem: Problem, engine: Engine) -> list[Problem]:
        """Other ways of training the same task, among which the rule chooses; none by default."""
        del problem, engine
        return []

    def fallback(self, state: S) -> Schedule | None:
        """What is returned unless a contender beats it on common fresh seeds; None: no such thing."""
        del state

    def contenders(self, state: S) -> list[Schedule]:
        """What meets the fallback in the end."""
        del state
        return []

    def unmoved(self, state: S, chosen: Schedule) -> dict[str, str]:
        """Name -> why it has its first values in what is returned; empty where nobody knows."""
        del state, chosen
        return {}

    def with_seeds(self, seeds: int | None) -> OuterRule[S]:
        """The same rule with another number of seeds per hypergradient; None leaves it.

        Raises:
            ValueError: A rule that is no dataclass with a field `seeds`.
        """
        if seeds is None:
            return self
        if not is_dataclass(self) or "seeds" not in {field.name for field in fields(self)}:
            raise ValueError(f"{type(self).__name__} has no `seeds` to set, but got {seeds!r}.")
        check_whole("seeds", seeds)
        return replace(self, seeds=seeds)


def sign_text(signs: Tensor) -> str:
    """``+``, ``-`` and ``0`` for each entry."""
    return "".join("0+-"[int(sign)] for sign in torch.sign(signs).tolist())
