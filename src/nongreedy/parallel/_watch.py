"""Whoever waits for a rank looks whether it still lives and moves."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from torch import distributed
from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

from ..search import Callback

_BEAT = 1.0  # seconds between two signs of life
_LEFT = b"left"  # the last sign of a rank that has nothing more to ask
_HUNG = 75  # exit status of those who gave up waiting: EX_TEMPFAIL, worth another try


class Moves(Callback):
    """Counts the steps of this process."""

    def __init__(self) -> None:
        self.count = 0

    def on_inner_step(self, step: int, steps: int) -> None:
        self.count += 1


@dataclass
class _Seen:
    """What was last heard of a rank, and when it last was new."""

    text: bytes = b""
    at: float = field(default_factory=time.monotonic)

    def hear(self, text: bytes) -> float:
        """Seconds since it was new."""
        if text != self.text:
            self.text, self.at = text, time.monotonic()
        return time.monotonic() - self.at


class Watch:
    """A thread that shows the others that this process lives and moves, and looks at them.

    A process that has stopped says nothing, a hung one says the same again and again: it makes no step
    and comes to no place where the others wait for it.
    """

    def __init__(self, rank: int, size: int, name: str, patience: float, store: TCPStore):
        self.rank, self.size, self.patience = rank, size, patience
        self.callback = Moves()
        self._store, self._place, self._since = store, 0, None
        store.set(f"name/{rank}", name)
        self._names = [store.get(f"name/{other}").decode() for other in range(size)]
        self._alive = [_Seen() for _ in range(size)]
        self._moved = [_Seen() for _ in range(size)]
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look, name="nongreedy-watch", daemon=True)
        self._thread.start()

    @classmethod
    def joined(cls, rank: int, size: int, name: str, patience: float) -> Watch:
        """A store of its own: a thread must not share the connection of the main one."""
        where: list[tuple[str, int] | None] = [None]
        wait = timedelta(seconds=60)
        if rank == 0:
            host = os.environ.get("MASTER_ADDR", "127.0.0.1")
            store = TCPStore(host, 0, size, True, wait, wait_for_workers=False)
            where = [(host, store.port)]
        distributed.broadcast_object_list(where, 0)
        if rank != 0:
            assert where[0] is not None
            store = TCPStore(*where[0], size, False, wait)
        return cls(rank, size, name, patience, store)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """This rank is at a place where it waits for the others."""
        self._place, self._since = self._place + 1, time.monotonic()
        try:
            yield
        finally:
            self._since = None

    def lost(self, seconds: float) -> str | None:
        """Whom nothing is heard of, once that is sure."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for other in self._others():
                if time.monotonic() - self._alive[other].at > 5 * _BEAT:
                    return self._names[other]
            time.sleep(0.2)
        return None

    def leave(self) -> None:
        """No more signs, and nobody is looked at: the others may go on without this one."""
        self._left.set()
        self._thread.join(2 * _BEAT)
        with suppress(RuntimeError):
            self._store.set(f"sign/{self.rank}", _LEFT.decode())

    def _others(self) -> list[int]:
        """Those that have not left. When the first one has, nobody can be heard."""
        if self._alive[0].text == _LEFT:
            return []
        them = [rank for rank in range(self.size) if rank != self.rank]
        return [rank for rank in them if self._alive[rank].text != _LEFT]

    def _look(self) -> None:
        beat = 0
        while not self._left.wait(_BEAT):
            beat += 1
            # Of the first rank the store itself lives: where it does not answer, it is gone.
            with suppress(RuntimeError):
                self._store.set(f"sign/{self.rank}", f"{beat}/{self._place}/{self.callback.count}")
                for other in self._others():
                    if self._store.check([f"sign/{other}"]):
                        self._hear(other, self._store.get(f"sign/{other}"))
            self._judge()

    def _hear(self, other: int, sign: bytes) -> None:
        self._alive[other].hear(sign)
        self._moved[other].hear(sign.partition(b"/")[2])

    def _judge(self) -> None:
        now = time.monotonic()
        for other in self._others():
            if now - self._alive[other].at > self.patience:
                self._give_up(other, f"has not been heard of for {self.patience:g} seconds")
            since = self._since
            if since is None or not self._behind(other):
                continue
            if now - max(self._moved[other].at, since) > self.patience:
                waited = f"made no step for {self.patience:g} seconds while this one waited"
                self._give_up(other, waited)

    def _behind(self, other: int) -> bool:
        place = self._moved[other].text.partition(b"/")[0]
        return int(place or 0) < self._place

    def _give_up(self, other: int, what: str) -> None:
        if self._left.is_set():
            return
        me = self._names[self.rank]
        print(
            f"{self._names[other]} {what}. {me} ends. What is finished is in the study: started again, "
            "the search goes on from there. If its steps take that long, give "
            "parallel.ranks(patience=) more seconds.",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        os._exit(_HUNG)
