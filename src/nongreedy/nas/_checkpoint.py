"""The file from which a search that was stopped goes on, with the same bits."""

from __future__ import annotations

import io
import json
import pickle
import time
from pathlib import Path
from typing import Any

import torch

from ..schedules._files import make_writable, replace_file

FORMAT, VERSION = "nongreedy.nas_search", 1


class Checkpoint:
    """Stages of a search, each kept by name; kept in memory alone where there is no file.

    Args:
        file: Where; its folder is made.
        settings: What the search was asked for. A file of other settings is refused.
        every: Seconds between two writings inside a stage.

    Raises:
        ValueError: The file is of another search, with the first difference, or is unreadable.
        OSError: It cannot be written.
    """

    def __init__(self, file: Path | None, settings: dict[str, Any], every: float = 10.0):
        self.file, self.every, self._written = file, every, time.monotonic()
        plain = json.loads(json.dumps(settings, default=str))
        self.stages: dict[str, Any] = {}
        if file is None:
            return
        make_writable(file.parent, "the checkpoint to")
        if file.exists():
            content = _read(file)
            for name, value in plain.items():
                if content["settings"].get(name) != value:
                    raise ValueError(
                        f"{str(file)!r} is the checkpoint of another search: its {name} is "
                        f"{content['settings'].get(name)!r:.60}, this one's {value!r:.60}. Name "
                        "another file, or delete it."
                    )
            self.stages = content["stages"]
        self._settings = plain

    def keep(self, stage: str, content: Any, now: bool = True) -> None:
        """Write a stage; inside a stage (`now` False) only from time to time."""
        if self.file is None or not (now or self.due()):
            return
        self.stages[stage] = content
        buffer = io.BytesIO()
        whole = {
            "format": FORMAT,
            "version": VERSION,
            "settings": self._settings,
            "stages": self.stages,
        }
        torch.save(whole, buffer)
        replace_file(self.file, buffer.getvalue())
        self._written = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write again."""
        return self.file is not None and time.monotonic() - self._written >= self.every


def _read(file: Path) -> dict[str, Any]:
    try:
        content = torch.load(file, weights_only=True)
        if content["format"] != FORMAT or content["version"] != VERSION:
            reason = "it is of another version"
        elif isinstance(content.get("settings"), dict) and isinstance(content.get("stages"), dict):
            return content
        else:
            reason = "it is damaged"
    except pickle.UnpicklingError:
        reason = "it is no file of tensors"
    except (
        OSError,
        RuntimeError,
        EOFError,
        LookupError,
        AttributeError,
        TypeError,
        ValueError,
    ) as error:
        reason = (str(error).splitlines() or ["it ends too early"])[0][:80]
    raise ValueError(
        f"Cannot read the checkpoint {str(file)!r}: {reason}. Delete it to begin again."
    )
