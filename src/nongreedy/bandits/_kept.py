"""The files of a player: a state, and the arrays that it names."""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import NongreedyError
from ..schedules._files import make_writable, read_json, replace_file

_ARRAYS = re.compile("player-[0-9a-f]{16}[.]npz")
_STATE, _FORMAT = "player.json", ("nongreedy.player", 1)


class PlayerError(NongreedyError, ValueError):
    """A kept player cannot be read, or is another's."""


def write(folder: Path, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays under a name of their own, then the state that names them: a kill in between
    leaves the last state whole.

    Raises:
        OSError: The directory cannot be written.
    """
    make_writable(folder, "the player to")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    content = buffer.getvalue()
    name = f"player-{_digest(content)}.npz"
    replace_file(folder / name, content)
    head = {"format": _FORMAT[0], "version": _FORMAT[1], "arrays": name}
    replace_file(folder / _STATE, json.dumps({**head, **state}, indent=2, allow_nan=False) + "\n")
    for other in folder.glob("player-*.npz"):
        if other.name != name:
            other.unlink()


def read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The state and the arrays that it names.

    Raises:
        FileNotFoundError: Nothing was saved there.
        PlayerError: Files are damaged, or of another format.
    """
    file = folder / _STATE
    if not file.is_file():
        raise FileNotFoundError(f"No {_STATE} in {str(folder)!r}: nothing was saved there.")
    try:
        state = read_json(file)
        if (state["format"], state["version"]) != _FORMAT:
            raise ValueError(f"its format is {state['format']}, version {state['version']}")
        if not _ARRAYS.fullmatch(state["arrays"]):  # a path that leads elsewhere is not even opened
            raise ValueError(f"it names {state['arrays']!r:.60} for its arrays")
        content = (folder / state["arrays"]).read_bytes()
        if state["arrays"] != f"player-{_digest(content)}.npz":
            raise ValueError(f"{state['arrays']} is damaged")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return state, dict(arrays)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise PlayerError(f"The player in {str(folder)!r} cannot be read: {error}.") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
