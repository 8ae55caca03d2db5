"""One process at a time on a study: the others are told who holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import StudyError

_LEASE = 300.0  # seconds without a sign of life after which a holder on another machine is gone
_RENEWAL = 30.0


def identity() -> dict[str, Any]:
    """Who this process is, for people and for other processes."""
    program = Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "program": program,
        "since": time.strftime("%F %T"),
    }


@contextmanager
def locked(folder: Path, name: str, wait: float) -> Iterator[None]:
    """Hold a lock of this machine's file system, which the system releases when a process dies."""
    lock, card = FileLock(folder / "lock"), folder / "holder.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=wait)
    except Timeout:
        raise _held(name, _read(card)) from None
    except OSError as error:
        raise StudyError(
            f"Cannot work in {str(folder)!r}: {error.strerror or error}. Pass "
            "Study(folder=...) with a directory that you may write to."
        ) from error
    try:
        card.write_text(json.dumps(identity()), encoding="utf-8")
        yield
    finally:
        card.unlink(missing_ok=True)
        lock.release()


class Lease:
    """The same between machines: a record in the database, renewed as long as its holder lives.

    Two that take a free study within the same second may both believe to have it; what they write is
    the same, answer by answer, so that nothing is lost but time.
    """

    def __init__(self, read: Callable[[], dict[str, Any]], write: Callable[[dict[str, Any]], None]):
        self._read, self._write, self._renewed = read, write, 0.0
        self._me = identity()

    @contextmanager
    def held(self, name: str, wait: float) -> Iterator[None]:
        """Take the study, waiting at most `wait` seconds for its holder to end."""
        deadline = time.time() + wait
        while (holder := self._read()) and self._alive(holder):
            if time.time() >= deadline:
                raise _held(name, holder)
            time.sleep(min(1.0, max(wait, 0.01)))
        self._renewed = 0.0
        self.renew()
        try:
            yield
        finally:
            self._write({})

    def renew(self) -> None:
        """Show a sign of life, now and then."""
        if time.time() - self._renewed >= _RENEWAL:
            self._renewed = time.time()
            self._write({**self._me, "alive": self._renewed})

    def _alive(self, holder: dict[str, Any]) -> bool:
        if holder.get("host") == self._me["host"]:
            return holder.get("process") != self._me["process"] and _runs(holder.get("process"))
        return time.time() - float(holder.get("alive", 0)) < _LEASE


def _runs(process: Any) -> bool:
    if not isinstance(process, int) or process < 1:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(card: Path) -> dict[str, Any]:
    try:
        found = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _held(name: str, holder: dict[str, Any]) -> StudyError:
    who = "another process"
    if holder:
        who = (
            f"process {holder.get('process')} on {holder.get('host')} ({holder.get('program')}, "
            f"since {holder.get('since')})"
        )
    return StudyError(
        f"Study {name!r} is held by {who}. Wait for it to end, or pass Study(wait=seconds)."
    )
