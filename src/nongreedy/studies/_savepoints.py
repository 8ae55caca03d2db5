"""States of the run or sweep that is going on, on disk: a kill costs the time since the last one."""

import hashlib
import io
import pickle
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..engines._progress import OnStep, Parts, Progress
from ..errors import StudyError
from ..schedules._files import replace_file

_FORMAT, _VERSION = "nongreedy.savepoint", 1
_SHARE = 50  # at most one part in so many of the time goes into writing


class Savepoints:
    """Two files, written in turn, each with its checksum: while one is written, the other stands.

    Args:
        folder: Made when it is first needed.
        seconds: Least time between two savepoints; longer where writing one takes long. At 0 there is
            one after each step, whatever it takes.
    """

    def __init__(self, folder: Path, seconds: float):
        self.folder, self.seconds = folder, seconds
        self._number, self._due = 0, time.monotonic() + seconds
        self._files = [folder / "savepoint-0", folder / "savepoint-1"]

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() >= self._due

    def keep(self, request: str, what: str, step: int, parts: Parts) -> None:
        """Write this state."""
        started = time.monotonic()
        try:
            self._write({"request": request, "what": what, "step": step, "parts": _plain(parts)})
        except OSError as error:
            warnings.warn(
                f"No savepoint could be written to {str(self.folder)!r}: {error.strerror or error}. "
                "The search goes on; after a kill, the run that it was in would begin anew.",
                stacklevel=2,
            )
        finished = time.monotonic()
        pause = max(self.seconds, _SHARE * (finished - started)) if self.seconds else 0.0
        self._due = finished + pause

    def _write(self, content: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save({**content, "number": self._number}, buffer)
        file = self._files[self._number % 2]
        replace_file(file, sealed(buffer.getvalue()), file.with_name(f"{file.name}.tmp"))
        self._number += 1

    def newest(self, request: str, what: str) -> dict[str, Any] | None:
        """The last state that was kept of this loop, if any can be read; damaged files are named."""
        states = [content for file in self._files if (content := _readable(file)) is not None]
        states.sort(key=lambda state: state["number"], reverse=True)
        if states:
            self._number = states[0]["number"] + 1
        for state in states:
            if (state["request"], state["what"]) == (request, what):
                return {"step": state["step"], **state["parts"]}
        return None

    def clear(self) -> None:
        """The search is finished: nothing has to be gone on from."""
        for file in self._files:
            file.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


class Keeper(Progress):
    """Keeps the states of one loop of a request: the first, unless a second of the same name begins.

    An engine may have more, such as a run for each difference; none may be handed another's state.
    """

    def __init__(self, savepoints: Savepoints, request: str, on_step: OnStep):
        super().__init__(on_step)
        self.savepoints, self.request = savepoints, request
        self.loop: str | None = None

    def begin(self, what: str) -> dict[str, Any] | None:
        if self.loop is None:
            self.loop = what
            return self.savepoints.newest(self.request, what)
        if self.loop == what:
            self.loop = ""  # ambiguous from here on
        return None

    def due(self, what: str) -> bool:
        return what == self.loop and self.savepoints.due

    def keep(self, what: str, step: int, parts: Parts) -> None:
        self.savepoints.keep(self.request, what, step, parts)


def _plain(parts: Parts) -> dict[str, Any]:
    """Tensors on the CPU; a list of numbers stays one."""
    return {
        name: part.detach().cpu().clone() if isinstance(part, torch.Tensor) else list(part)
        for name, part in parts.items()
    }


def sealed(payload: bytes) -> bytes:
    """The payload after one line that says what it is and what its checksum is."""
    digest = hashlib.sha256(payload).hexdigest()
    return f"{_FORMAT} {_VERSION} {len(payload)} {digest}\n".encode() + payload


def unsealed(content: bytes) -> bytes:
    """The payload; StudyError where a byte is missing or another."""
    head, _, payload = content.partition(b"\n")
    words = head.decode("ascii", errors="replace").split()
    if len(words) != 4 or words[0] != _FORMAT:
        raise StudyError("it is not a savepoint")
    if words[1] != str(_VERSION):
        raise StudyError(f"it has version {words[1]}, and this release reads {_VERSION}")
    if words[2] != str(len(payload)):
        raise StudyError(f"it has {len(payload)} of {words[2]} bytes")
    if words[3] != hashlib.sha256(payload).hexdigest():
        raise StudyError("its checksum does not fit")
    return payload


def _readable(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    try:
        payload = unsealed(file.read_bytes())
        # weights_only: a file is data. It may hold tensors, numbers and text, and runs no code.
        content = torch.load(io.BytesIO(payload), weights_only=True, map_location="cpu")
        if not isinstance(content, Mapping) or not content.keys() >= _KEYS:
            raise StudyError("it lacks some of " + ", ".join(sorted(_KEYS)))
        return dict(content)
    except (StudyError, OSError) as error:
        reason = str(error)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError):
        reason = "it holds something else than tensors, numbers and text"
    warnings.warn(
        f"Savepoint {str(file)!r} cannot be used: {reason}. The one before it is, or the run begins "
        "anew.",
        stacklevel=2,
    )
    return None


_KEYS = {"request", "what", "step", "number", "parts"}
