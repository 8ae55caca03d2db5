"""Studies on the command line: one for each search, named in turn, with the command that began it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nongreedy as ng

from ._exit import Mistake

FILE = "study.db"
_STEM = "search-"
_COMMAND = "command"


def begun(storage: str | Path) -> ng.Study:
    """A study for a new search, beside those of earlier ones; if the last is unfinished, it says so."""
    taken = ng.Study.names(storage)
    earlier = _searches(taken)
    if earlier and not (last := ng.Study(storage, earlier[-1])).finished:
        print(f"{last.name} in {last.address.shown} is unfinished. {how_to_resume(last)}\n")
    number = len(taken) + 1
    while f"{_STEM}{number}" in taken:
        number += 1
    return ng.Study(storage, f"{_STEM}{number}")


def _searches(names: list[str]) -> list[str]:
    """Those that the command line named: a storage may hold studies of others."""
    return [name for name in names if name.startswith(_STEM)]


def keep_command(study: ng.Study, settings: Mapping[str, Any]) -> None:
    """Write down what was asked, so that it can be asked again."""
    if _COMMAND not in study.notes():
        study.note(_COMMAND, json.loads(json.dumps(dict(settings), default=str)))


def keep_judged(study: ng.Study, table: Sequence[Mapping[str, Any]]) -> None:
    """Write down what fresh trainings gave, for the report."""
    study.note("judged", list(table))


def found(storage: str, name: str | None) -> ng.Study:
    """The named study; else the newest that is unfinished; else the newest."""
    names = _names(storage)
    if name is not None:
        return ng.Study(storage, name)
    studies = [ng.Study(storage, each) for each in reversed(_searches(names) or names)]
    return next((study for study in studies if not study.finished), studies[0])


def newest(storage: str, name: str | None) -> ng.Study:
    """The named study, else the newest."""
    return ng.Study(storage, _names(storage)[-1] if name is None else name)


def _names(storage: str) -> list[str]:
    names = ng.Study.names(storage)
    if not names:
        raise Mistake(f"No study in {storage!r}. Give the file that `nongreedy tune` named.")
    return names


def command(study: ng.Study) -> dict[str, Any]:
    """What was asked when the study was begun."""
    asked = study.read(f"note:{_COMMAND}")
    if not isinstance(asked, dict):
        raise Mistake(
            f"Study {study.name!r} in {study.address.shown!r} was not begun by `nongreedy tune`. Go on "
            "with it by what began it, with the same settings: ng.tune(..., study=...), or a comparison."
        )
    return asked


def how_to_resume(study: ng.Study) -> str:
    """What to type."""
    return f"To go on:\n\n    {study.address.resume_command(study.name)}"
