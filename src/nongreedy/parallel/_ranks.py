"""The processes of one search: who they are, and how they tell each other what they know."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar, cast

import torch
from torch import distributed

from ..errors import NongreedyError, check_number
from ..search import Callback, Memory
from ._memory import sharing
from ._watch import Watch

Value = TypeVar("Value")
_JOINING = 30.0  # seconds to learn who has died, once a connection has broken


class RankError(NongreedyError):
    """Another process of this search has failed, died or hangs; the message names it."""


@dataclass(frozen=True)
class Failure:
    """What a rank tells instead of its value."""

    rank: int
    what: str


@dataclass
class Ranks:
    """The processes of one search. They ask the same questions and share the work of answering them.

    Attributes:
        rank: This one's number, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1
    _watch: Watch | None = None
    _clock: float = field(default_factory=time.monotonic)

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and shows."""
        return self.rank == 0

    def clock(self) -> float:
        """Seconds on the first rank's clock when it last told anything: the same on all of them, so
        that a limit of time ends the search of all at the same place."""
        return self._clock if self.size > 1 else time.monotonic()

    def tell(self, value: Value | None = None) -> Value:
        """What the first rank says here; what the others pass is not heard."""
        told = self.gather(value if self.first else None)
        return cast(Value, told[0])

    def gather(self, value: Value) -> list[Value]:
        """What every rank says here, in their order.

        Raises:
            RankError: One of them told of a failure, or is gone.
        """
        if self.size == 1:
            return [value]
        sent, heard = (time.monotonic(), value), [None] * self.size
        with self.waiting():
            distributed.all_gather_object(heard, sent)
        times, values = zip(*cast(list[tuple[float, Value]], heard), strict=True)
        self._clock = times[0]
        for one in values:
            if isinstance(one, Failure):
                raise RankError(f"Rank {one.rank} failed: {one.what}")
        return list(values)

    def failed(self, error: BaseException) -> None:
        """Tell the others, who wait for a value, that there will be none."""
        if self.size > 1 and isinstance(error, Exception):
            with suppress(RankError):  # its own
                self.gather(Failure(self.rank, f"{type(error).__name__}: {error}"))

    def sharing(
        self, held: AbstractContextManager[Memory], together: bool = False
    ) -> AbstractContextManager[Memory]:
        """The memory of a search: the first rank's own, which answers all of them. Where they work
        `together`, all of them make every run."""
        return held if self.size == 1 else sharing(self, held, together)

    @property
    def callbacks(self) -> list[Callback]:
        """Who shows the others that this process goes on."""
        return [self._watch.callback] if self._watch else []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A place to which all ranks come: whoever does not is named.

        Raises:
            RankError: A connection has broken.
        """
        if self._watch is None:
            yield
            return
        try:
            with self._watch.waiting():
                yield
        except RuntimeError as error:  # what a broken connection raises
            lost = self._watch.lost(_JOINING)
            name = lost or "Another rank"
            raise RankError(f"{name} is gone ({str(error).splitlines()[0]}).") from error


def checked_ranks(given: Ranks | None) -> Ranks:
    """The processes that were given, or this one alone.

    Raises:
        TypeError: Something else, such as a number.
    """
    if given is not None and not isinstance(given, Ranks):
        raise TypeError(
            f"`ranks` must be what nongreedy.parallel.ranks() gives, but got {given!r:.80}. Start the "
            "program by torchrun --nproc-per-node N, and say: with ng.parallel.ranks() as ranks: ..."
        )
    return given or Ranks()


@contextmanager
def ranks(patience: float = 20.0) -> Iterator[Ranks]:
    """The processes that ``torchrun`` has started, or this one alone.

    .. code-block:: python

        # torchrun --standalone --nproc-per-node 4 search.py
        with ng.parallel.ranks() as ranks:
            result = ng.tune(task, optimizer, epochs=10, seeds=4, study="study.db", ranks=ranks)

    Every rank runs the whole program and comes to the same result. Only the first one writes the study
    and shows progress. Where a rank dies, or makes no step for `patience` seconds while others wait for
    it, the others end with its name, and the program, started again, goes on from its study.

    Args:
        patience: Seconds. More than the longest step, and than what the first ones take to load.

    Raises:
        ValueError: `patience` is no positive number.

    Cannot: run on devices of its own choice; each rank's task lives where its model is made.

    Example:
        >>> with ranks() as alone:
        ...     alone.rank, alone.size
        (0, 1)
    """
    check_number("patience", patience)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 and not distributed.is_initialized():
        yield Ranks()
        return
    joined = not distributed.is_initialized()
    if joined:
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        )
    mine, size = distributed.get_rank(), distributed.get_world_size()
    name = f"Rank {mine} (process {os.getpid()} on {socket.gethostname()})"
    watch = Watch.joined(mine, size, name, patience)
    try:
        yield Ranks(mine, size, watch)
    finally:
        watch.leave()
        if joined:
            distributed.destroy_process_group()
