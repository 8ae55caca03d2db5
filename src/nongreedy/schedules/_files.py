"""Files that are written all or nothing, and directories that can be written to."""

import json
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def replace_file(file: Path, content: bytes | str, beside: Path | None = None) -> None:
    """Write a file so that a reader sees the old one or the new one, also after a power cut.

    Written beside, forced to the disk, then renamed.

    Args:
        beside: Where it is written first, for a file that only one process writes: what a kill leaves
            there is overwritten. None is a new name each time, which a kill leaves behind.

    Raises:
        OSError: It cannot be written; its `filename` is the file's.
    """
    raw = content.encode() if isinstance(content, str) else content
    if beside is None:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".tmp")
        os.close(handle)
        beside = Path(name)
    try:
        with beside.open("wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        beside.chmod(0o644)  # mkstemp's is for its owner alone
        os.replace(beside, file)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:  # which names another file, or none
            raise OSError(error.errno, error.strerror, str(file)) from error
        raise
    if os.name == "posix":  # Windows opens no directories
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def make_writable(folder: Path, what: str) -> None:
    """Create a directory and write in it now: hours of computing must not end in a full stop.

    Raises:
        OSError: It cannot be; the message begins "Cannot write" and `what`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"Cannot write {what} {str(folder)!r}: {error.strerror or error}. "
            "Name a directory that you may create or write to."
        ) from error


def read_json(file: Path) -> Any:
    """What a file of JSON holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It is none, or nested so deeply that only an attack is.
    """
    try:
        return json.loads(file.read_text("utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def plain(value: Any) -> Any:
    """JSON has no infinity and no NaN: they are kept as the words "inf" and "nan", which ``float``
    reads."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
