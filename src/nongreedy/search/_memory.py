"""What a search asked for and was told: the contract of who remembers it, and who forgets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..engines import Hypergradient, Outcome
from ..engines._progress import Progress
from ..errors import DivergedError
from ..schedules import Schedule
from ._gain import Gain
from ._result import OuterStep, Status


@dataclass(frozen=True)
class Ran:
    """What a plain run came to.

    Attributes:
        losses: Training loss of each batch before its step, length T, or a thinned part of it.
    """

    outcome: Outcome
    losses: tuple[float, ...] = ()


Answer = Ran | Hypergradient | DivergedError


@dataclass(frozen=True)
class Request:
    """A run or a sweep. Both are functions of the schedule's bits and of the seed: asked again, they
    have the same answer, which is what lets a search go on after a kill.

    Attributes:
        kind: ``"run"`` or ``"sweep"``.
        steps: T, the length of the run.
        learn: What a sweep differentiates; empty for runs.
    """

    kind: str
    schedule: Schedule
    seed: int
    steps: int
    learn: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """A digest, the same in every process."""
        content = (self.kind, self.schedule.identity, self.seed, self.steps, self.learn)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:32]


class Memory:
    """Remembers nothing: every request is computed.

    Attributes:
        steps: Outer steps that it holds.
    """

    @property
    def steps(self) -> int:
        return 0

    def recall(self, request: Request) -> Answer | None:
        """The answer that this request had before; None if it had none."""

    def remember(self, request: Request, answer: Answer) -> None:
        """An answer that has just been computed."""

    def follow(self, request: Request, progress: Progress) -> Progress:
        """Who follows the request's inner steps: the given one, or one that also keeps states."""
        return progress

    def settle(self, row: OuterStep, schedule: Schedule) -> OuterStep:
        """An outer step is finished, at this schedule: its row, with the seconds that it took when it
        was first taken."""
        return row

    def finish(
        self, best: Schedule, loss: float, status: Status, cost: float, gain: Gain | None = None
    ) -> None:
        """The search is over, has cost so much in all, and gained so much over its fallback."""

    def noted(self, name: str) -> Any:
        """What was noted under a name; None if nothing was."""

    def note(self, name: str, value: Any) -> None:
        """Note a JSON value, once and for all."""

    def part(self, name: str, settings: Mapping[str, Any]) -> Memory:
        """The memory of a part of this work, which has answers and notes of its own."""
        return Memory()
