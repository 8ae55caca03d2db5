"""Where a study lives: a database, and a folder beside it."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ..errors import StudyError, check_path

_URL = re.compile(r"^[a-z][a-z0-9+]*://", re.IGNORECASE)
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Address:
    """A database by URL.

    Attributes:
        server: URL of a database that is no file.
        path: The file of an SQLite database; None for servers.
        shown: Either for people, without a password.
        folder: Where states of unfinished runs are kept.
    """

    server: str | None
    path: Path | None
    shown: str
    folder: Path

    @property
    def url(self) -> str:
        """As SQLAlchemy wants it: of a path, what would mean something in a URL is quoted."""
        if self.path is None:
            return str(self.server)
        # It takes as long to import as a search of a second; a study's name and path do not need it.
        from sqlalchemy.engine import URL

        return URL.create("sqlite", database=str(self.path)).render_as_string()

    @classmethod
    def of(cls, given: str | os.PathLike[str], folder: str | os.PathLike[str] | None) -> Address:
        """From a path to an SQLite file, or a URL such as ``postgresql://user@host/database``."""
        kinds, advice = (
            " of a study, its URL or a Study",
            " A search keeps one: tune(..., study=path).",
        )
        check_path("study", given, kinds, advice)
        text = os.fspath(given)
        if not text or (
            _URL.match(text) and text.lower().startswith("sqlite") and ":memory:" in text
        ):
            raise StudyError(f"A study needs a file or a server to survive in, but got {text!r}.")
        if _URL.match(text) and not text.startswith(_SQLITE):
            hidden = re.sub(r"//([^:/@]*):[^@]*@", r"//\1:***@", text)
            return cls(text, None, hidden, Path(folder or ".nongreedy"))
        path = Path(unquote(text.removeprefix(_SQLITE)) if text.startswith(_SQLITE) else text)
        if path.is_dir():
            raise StudyError(f"{str(path)!r} is a directory. Name a file in it.")
        beside = path.with_name(path.name + "-savepoints")
        return cls(None, path, str(path), Path(folder or beside))

    def states(self, name: str) -> Path:
        """The folder of a study's lock and savepoints; percent signs for all that could leave it."""
        return self.folder / f"study-{quote(name, safe='')}"

    def is_beside(self, folder: str | os.PathLike[str]) -> bool:
        """Whether the database lies in this folder."""
        return self.path is not None and Path(folder).resolve() == self.path.resolve().parent

    def resume_command(self, name: str, target: Any = None, out: Any = None) -> str:
        """What to type to go on with a study of this database that `nongreedy tune` began.

        Args:
            target: The user's own task, if it was one.
            out: Where it writes.
        """
        words = [
            "nongreedy",
            "resume",
            self.shown,
            *([str(target)] if target else []),
            "--name",
            name,
        ]
        if out is not None and not self.is_beside(str(out)):
            words += ["--out", str(out)]
        return shlex.join(words)
