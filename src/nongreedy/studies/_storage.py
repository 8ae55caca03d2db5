"""Optuna's storage, with what we keep in it and with errors that say what to do."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy import column, select, table, update
from sqlalchemy.exc import SQLAlchemyError

from ..errors import NoStudyError, StudyError
from ._address import Address
from ._quiet import quiet

VERSION = 2
_PREFIX = "nongreedy:"
_HOLDER = "holder-of-nongreedy"
_CHUNK = 30_000  # characters: MySQL's TEXT holds 65,535 bytes
_PATIENCE = 20  # seconds for another program's transaction to end
# RuntimeError: a schema of another Optuna. ImportError: no driver for this kind of server.
_SAID = (optuna.exceptions.OptunaError, SQLAlchemyError, OSError, RuntimeError, ImportError)
# What a database says where another process makes the tables at the same moment.
_MADE_MEANWHILE = ("already exists", "UNIQUE constraint", "duplicate key")
_THERE = object()  # written by this process, and read from the database if it is ever asked for
_HOPELESS = "Put that right, or name another place; what was written before is kept."


class Storage:
    """The trials of one study, and our own records beside them.

    A record is JSON under a name. It is written in pieces, its head last, so that half a record is
    none; its head holds a checksum.

    Raises:
        StudyError: The database cannot be opened, read or written; the study is another's, or of a
            later version.
    """

    def __init__(
        self,
        address: Address,
        name: str,
        create: bool,
        connection: optuna.storages.RDBStorage | None = None,
    ):
        self.address, self.name = address, name
        with explained("open", address):
            self._optuna = connection or _connected(address, create)
            self._id = self._settled(create)
            self._records = self._optuna.get_study_system_attrs(self._id)
        version = self.read("version")
        if version is None and create:
            self.write("version", VERSION)
        elif version is None:
            raise StudyError(f"Study {name!r} in {address.shown!r} was not made by nongreedy.")
        elif version != VERSION:
            raise StudyError(
                f"Study {name!r} in {address.shown!r} has version {version!r}, and this release reads "
                f"version {VERSION}. Install the release that wrote it, or name another file."
            )

    def _settled(self, create: bool) -> int:
        """The study's number there, made if need be."""
        try:
            return self._optuna.get_study_id_from_name(self.name)
        except KeyError:
            if not create:
                names = sorted(study.study_name for study in self._optuna.get_all_studies())
                raise NoStudyError(
                    f"No study {self.name!r} in {self.address.shown!r}. Studies there: "
                    f"{', '.join(names) or 'none'}."
                ) from None
        with quiet():
            study = optuna.create_study(
                study_name=self.name, storage=self._optuna, direction="minimize",
                load_if_exists=True,  # another process may have made it this moment
            )  # fmt: skip
            study.set_metric_names(["validation loss"])
        return self._optuna.get_study_id_from_name(self.name)

    def beside(self, name: str) -> Storage:
        """Another study of the same database, made if need be, by the same connection."""
        return Storage(self.address, name, True, self._optuna)

    def names(self, prefix: str) -> list[str]:
        """Names of all complete records that begin so."""
        start = _PREFIX + prefix
        return [key.removeprefix(_PREFIX) for key in self._records if key.startswith(start)]

    def has(self, name: str) -> bool:
        """Whether there is such a record."""
        return _PREFIX + name in self._records

    def read(self, name: str) -> Any:
        """A record; None where there is none, or where it is damaged (which is said)."""
        if not self.has(name):
            return None
        head = self._record(_PREFIX + name)
        if head is None:
            return None
        try:
            parts = [head["text"], *(self._record(key) for key in self._more(name, head["parts"]))]
            text = "".join(parts)
            if _digest(text) != head["sha256"]:
                raise ValueError("its checksum does not fit")
            return json.loads(text)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            warnings.warn(
                f"Record {name!r} of study {self.name!r} cannot be used ({error}) and is computed "
                "again.",
                stacklevel=2,
            )
            return None

    def write(self, name: str, value: Any) -> None:
        """Write a record, over the one of that name."""
        text = json.dumps(value, allow_nan=False)
        pieces = [text[low : low + _CHUNK] for low in range(0, len(text), _CHUNK)]
        for key, piece in zip(self._more(name, len(pieces) - 1), pieces[1:], strict=True):
            self._set(key, piece)
        head = {"parts": len(pieces) - 1, "sha256": _digest(text), "text": pieces[0]}
        self._set(_PREFIX + name, head)

    def refresh(self) -> None:
        """Read what others have written since."""
        with explained("read", self.address):
            self._records = self._optuna.get_study_system_attrs(self._id)

    def holder(self) -> dict[str, Any]:
        """Who works on the study, as they say themselves; read anew."""
        holder = self._fetched(_HOLDER)
        return holder if isinstance(holder, dict) else {}

    def hold(self, who: dict[str, Any]) -> None:
        """Say who works on it; nobody, if empty."""
        self._set(_HOLDER, who)

    def trials(self) -> list[FrozenTrial]:
        """Every trial."""
        with explained("read", self.address):
            return self._optuna.get_all_trials(self._id, deepcopy=False)

    def add(self, trial: FrozenTrial) -> None:
        """One more trial, in one transaction.

        Not by :class:`optuna.Study`, which holds all that it has ever added.
        """
        with explained("write to", self.address):
            self._optuna.create_new_trial(self._id, trial)

    def mark(self, trials: Iterable[FrozenTrial], key: str, value: Any) -> None:
        """Write a system attribute of trials over, all of them in one transaction.

        Optuna's own interface refuses to touch a trial that is finished.
        """
        attributes = table(
            "trial_system_attributes", column("trial_id"), column("key"), column("value_json")
        )
        kept = table("trials", column("trial_id"), column("study_id"), column("number"))
        numbers = [trial.number for trial in trials]
        ids = select(kept.c.trial_id).where(kept.c.study_id == self._id, kept.c.number.in_(numbers))
        written = update(attributes).where(attributes.c.key == key, attributes.c.trial_id.in_(ids))
        with explained("write to", self.address), self._optuna.engine.begin() as connection:
            connection.execute(written.values(value_json=json.dumps(value)))

    def discard_unused(self) -> None:
        """Delete the study, unless it has a trial or an answer."""
        if not self.names("answer:") and not self.trials():
            with explained("write to", self.address):
                self._optuna.delete_study(self._id)

    def close(self) -> None:
        """Let go of the database."""
        self._optuna.remove_session()
        self._optuna.engine.dispose()

    def _more(self, name: str, count: int) -> list[str]:
        # Another prefix, so that pieces are no records of their own.
        return [f"part-of-{_PREFIX}{name}:{index}" for index in range(1, count + 1)]

    def _set(self, key: str, value: Any) -> None:
        with explained("write to", self.address):
            self._optuna.set_study_system_attr(self._id, key, value)
        self._records[key] = _THERE  # a long search does not hold all that it has ever written

    def _record(self, key: str) -> Any:
        """What stands under a key that there is."""
        known = self._records[key]
        return self._fetched(key) if known is _THERE else known

    def _fetched(self, key: str) -> Any:
        """The same, from the database; None where there is no such key."""
        rows = table(
            "study_system_attributes", column("study_id"), column("key"), column("value_json")
        )
        wanted = select(rows.c.value_json).where(rows.c.study_id == self._id, rows.c.key == key)
        with explained("read", self.address), self._optuna.engine.connect() as connection:
            found = connection.execute(wanted).first()
        return None if found is None else json.loads(found[0])


def _connected(address: Address, create: bool) -> optuna.storages.RDBStorage:
    """The database; whoever only reads leaves no trace."""
    patient = {"connect_args": {"timeout": _PATIENCE}} if address.path else None
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return optuna.storages.RDBStorage(
                address.url, engine_kwargs=patient, skip_table_creation=not create
            )
        except SQLAlchemyError as error:
            meanwhile = any(sign in str(error) for sign in _MADE_MEANWHILE)
            if not meanwhile or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def explained(verb: str, address: Address) -> Iterator[None]:
    """Turn what databases say into a StudyError that gives the way out."""
    try:
        yield
    except StudyError:
        raise
    except _SAID as error:
        raise StudyError(
            f"Cannot {verb} the study in {address.shown!r}: {_advice(error)}"
        ) from error


def _advice(error: Exception) -> str:
    """What happened and the way out, from the words of whoever met it first."""
    cause = error.__cause__ or error
    if isinstance(cause, ModuleNotFoundError):
        return f"its driver is not installed. Install it: pip install {cause.name}."
    known = next((why for sign, why in _REASONS.items() if sign in str(cause)), None)
    plain = " ".join(str(cause).split("\n[SQL")[0].split())
    return known or f"{plain}. {_HOPELESS}"


_REASONS = {
    "database is locked": f"another program has locked the database for {_PATIENCE} seconds. End it, "
    "then go on.",
    "unable to open database file": "the file or its directory does not exist, or may not be written. "
    "Name a file in a directory that you may write to.",
    "readonly database": "it may not be written. Give yourself the right to write, or name another file.",
    "no such table": "the database holds no studies. Name another file.",
    "file is not a database": "the file is no SQLite database, or is damaged. Name another file.",
    "disk image is malformed": "the database is damaged. Restore a copy, or name another file.",
    "disk is full": "the disk is full. Free some of it, then go on; what was written before is kept.",
    "disk I/O error": f"the disk failed or is full. {_HOPELESS}",
}


def names(address: Address) -> list[str]:
    """The names of all studies of a database, oldest first."""
    with explained("open", address):
        storage = optuna.storages.RDBStorage(address.url, skip_table_creation=True)
        try:
            studies = storage.get_all_studies()
        finally:
            storage.remove_session()
            storage.engine.dispose()
    return [study.study_name for study in sorted(studies, key=lambda study: study._study_id)]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
