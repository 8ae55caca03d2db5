"""The memory of a search of many ranks: the first one's answers for all, and all of them answering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from ..engines import Hypergradient
from ..engines._progress import Progress
from ..schedules import Schedule
from ..search import Answer, Gain, Job, Memory, OuterStep, Request, Status

Light = TypeVar("Light", bound=Answer | None)


class Speaking(Protocol):
    """Processes that tell each other what they know (:class:`Ranks`)."""

    rank: int
    size: int

    @property
    def first(self) -> bool: ...

    def tell(self, value: Any = None) -> Any: ...

    def gather(self, value: Any) -> list[Any]: ...

    def failed(self, error: BaseException) -> None: ...


class Shared(Memory):
    """Every rank asks the same; what is announced is answered side by side, all else by the first rank.

    Args:
        own: The memory of the first rank; of the others one that remembers nothing.
        together: Whether all ranks make every run, each its part of it.
    """

    def __init__(self, ranks: Speaking, own: Memory, together: bool = False):
        self._ranks, self._own, self._together = ranks, own, together
        self._ready = dict[str, Answer]()  # announced and answered, the same on all ranks
        self._notes = dict[str, Any]()
        self._steps: int = ranks.tell(own.steps)
        self.width = 1 if together else ranks.size

    @property
    def steps(self) -> int:
        return self._steps

    def ahead(self, jobs: Sequence[Job], likely: Sequence[Job] = ()) -> None:
        """Answer these side by side, and of those that are likely as many as would else leave ranks idle."""
        jobs, maybe = self._new(jobs), self._new(likely)
        jobs += maybe[: -len(jobs) % self.width] if jobs else []
        if len(jobs) < 2:
            return  # the first rank answers it, and keeps the states of its run
        mine, found = jobs[self._ranks.rank :: self.width], list[tuple[str, Answer]]()
        try:
            for job in mine:
                found += [(request.key, _light(answer)) for request, answer in job.answers()]
        except Exception as error:
            self._ranks.failed(error)
            raise
        for part in self._ranks.gather(found):
            self._ready.update(part)

    def _new(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that nobody has answered yet."""
        known = self._ranks.tell([all(map(self._own.knows, job.requests)) for job in jobs])
        ready = (all(r.key in self._ready for r in job.requests) for job in jobs)
        return [j for j, old, now in zip(jobs, known, ready, strict=True) if not (old or now)]

    def knows(self, request: Request) -> bool:
        return self._ranks.tell(self._own.knows(request)) or request.key in self._ready

    def recall(self, request: Request) -> Answer | None:
        answer = self._ready.pop(request.key, None)
        if answer is not None:
            self._own.remember(request, answer)
            return answer
        answer = self._ranks.tell(_light(self._own.recall(request)))
        if answer is None and not (
            self._ranks.first or self._together
        ):  # the first one computes it, and tells
            answer = self._ranks.tell()
        return answer

    def remember(self, request: Request, answer: Answer) -> None:
        self._own.remember(request, answer)
        if not self._together:
            self._ranks.tell(_light(answer))

    def failed(self, error: BaseException) -> None:
        if not self._together:  # then it came to all of them
            self._ranks.failed(error)

    def follow(self, request: Request, progress: Progress) -> Progress:
        # Of a run by all, no rank goes on from the middle alone.
        return progress if self._together else self._own.follow(request, progress)

    def settle(self, row: OuterStep, schedule: Schedule) -> OuterStep:
        self._ready.clear()  # what was likely, and was not asked
        return self._ranks.tell(self._own.settle(row, schedule))

    def finish(
        self, best: Schedule, loss: float, status: Status, cost: float, gain: Gain | None = None
    ) -> None:
        self._own.finish(best, loss, status, cost, gain)

    def noted(self, name: str) -> Any:
        return self._notes[name] if name in self._notes else self._ranks.tell(self._own.noted(name))

    def note(self, name: str, value: Any) -> None:
        self._own.note(name, value)
        self._notes.setdefault(name, self._ranks.tell(value))

    def part(self, name: str, settings: Mapping[str, Any]) -> Memory:
        return Shared(self._ranks, self._own.part(name, settings), self._together)


@contextmanager
def sharing(
    ranks: Speaking, held: AbstractContextManager[Memory], together: bool
) -> Iterator[Memory]:
    """The first rank's memory for all; where it cannot be had, all of them say why."""
    with ExitStack() as stack:
        own = Memory()
        if ranks.first:
            try:
                own = stack.enter_context(held)
            except Exception as error:
                ranks.failed(error)
                raise
        yield Shared(ranks, own, together)


def _light(answer: Light) -> Light:
    """Without what is as large as the network, and no rule asks for."""
    return replace(answer, initial=None) if isinstance(answer, Hypergradient) else answer
