"""What a search asked for and was told: the contract of who remembers it, and who forgets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..engines import Hypergradient, Outcome
from ..engines._progress import Progress
from ..errors import DivergedError
from ..schedules import Schedule
from ._gain import Gain
from ._outer_step import OuterStep
from ._result import Status


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


@dataclass(frozen=True)
class Job:
    """A run, or a run and its sweep, that will be asked for; `answers` computes them."""

    requests: tuple[Request, ...]
    answers: Callable[[], list[tuple[Request, Answer]]]


class Memory:
    """Remembers nothing: every request is computed.

    Attributes:
        steps: Outer steps that it holds.
        width: Jobs that are answered side by side.
    """

    width: int = 1

    @property
    def steps(self) -> int:
        return 0

    def ahead(self, jobs: Sequence[Job], likely: Sequence[Job] = ()) -> None:
        """What will be asked next, and what may be. Whoever answers one at a time does nothing yet."""

    def knows(self, request: Request) -> bool:
        """Whether there is an answer to recall."""
        return False

    def recall(self, request: Request) -> Answer | None:
        """The answer that this request had before; None if it had none."""

    def remember(self, request: Request, answer: Answer) -> None:
        """An answer that has just been computed."""

    def failed(self, error: BaseException) -> None:
        """There will be no answer to what was not recalled last."""

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

    def pieces(self, names: Iterable[str]) -> Generator[str]:
        """Those pieces of work that are this process's to do, one at a time: all of them. What is done when
        the next is asked for is done."""
        yield from names

    def part(self, name: str, settings: Mapping[str, Any]) -> Memory:
        """The memory of a part of this work, which has answers and notes of its own."""
        return Memory()
