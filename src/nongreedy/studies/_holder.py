"""One process at a time on a study: the others are told who holds it."""

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


@contextmanager
def leased(
    read: Callable[[], dict[str, Any]],
    write: Callable[[dict[str, Any]], None],
    name: str,
    wait: float,
) -> Iterator[Callable[[], None]]:
    """Hold the same between machines: a record in the database, renewed as long as its holder lives.

    Two that take a free study within the same second may both believe to have it; what they write is
    the same, answer by answer, so that nothing is lost but time.

    Args:
        wait: Seconds to wait, at most, for its holder to end.

    Yields:
        What shows a sign of life, now and then: call it often.
    """
    me, renewed, deadline = identity(), 0.0, time.time() + wait

    def renew() -> None:
        nonlocal renewed
        if time.time() - renewed >= _RENEWAL:
            renewed = time.time()
            write({**me, "alive": renewed})

    while (holder := read()) and _alive(holder, me):
        if time.time() >= deadline:
            raise _held(name, holder)
        time.sleep(min(1.0, max(wait, 0.01)))
    renew()
    try:
        yield renew
    finally:
        write({})


def _alive(holder: dict[str, Any], me: dict[str, Any]) -> bool:
    if holder.get("host") == me["host"]:
        return holder.get("process") != me["process"] and _runs(holder.get("process"))
    return time.time() - float(holder.get("alive", 0)) < _LEASE


def _runs(process: Any) -> bool:
    if not isinstance(process, int) or process < 1:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True


def _read(card: Path) -> dict[str, Any]:
    try:
        holder = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _held(name: str, holder: dict[str, Any]) -> StudyError:
    who = (
        f"process {holder.get('process')} on {holder.get('host')} ({holder.get('program')}, "
        f"since {holder.get('since')})"
        if holder
        else "another process"
    )
    return StudyError(
        f"Study {name!r} is held by {who}. Wait for it to end, or pass Study(wait=seconds)."
    )
