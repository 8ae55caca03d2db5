"""Studies on the command line: one for each search, named in turn, with the command that began it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

import nongreedy as ng
from nongreedy.errors import NongreedyError

from ._exit import Mistake, reported

FILE = "study.db"
_STEM = "search-"
_COMMAND = "command"

# What every command that works on a study takes.
Argument = Annotated[str, typer.Argument(help="SQLite file or database URL of the study.")]


def report(
    study: Argument,
    name: Annotated[
        str | None, typer.Option(help="Of the study.", show_default="the newest")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the report.", show_default="beside the study")
    ] = None,
) -> None:
    """Write report.html, one page that works offline, and report.png and report.svg for papers.

    Schedules over training and how they grew, losses, hypergradients with their noise, cost, settings.
    """
    with reported():
        newest = named(study, name)
        try:
            page = ng.report(newest, out)
        except OSError as error:
            raise Mistake(str(error)) from error
        print(f"Written: {page.as_posix()} (report.png and report.svg beside it)")


@contextmanager
def begun(storage: str | Path, keeping: bool) -> Iterator[ng.Study]:
    """A study for a new search, beside those of earlier ones; if the last is unfinished, it says so.

    Where the search is refused before anything was computed, it leaves no study that could be gone on
    with, only to be refused again.

    Args:
        keeping: Whether this process is the one that writes.
    """
    names = ng.Study.names(storage)
    earlier = _searches(names)
    if earlier and not (last := ng.Study(storage, earlier[-1])).finished:
        print(f"{last.name} in {last.address.shown} is unfinished. {how_to_resume(last)}\n")
    number = len(names) + 1
    while f"{_STEM}{number}" in names:
        number += 1
    study = ng.Study(storage, f"{_STEM}{number}")
    try:
        yield study
    except (Mistake, NongreedyError, ValueError):
        if keeping:
            study.discard_unused()
        raise


def _searches(names: list[str]) -> list[str]:
    """Those that the command line named: a storage may hold studies of others."""
    return [name for name in names if name.startswith(_STEM)]


def unfinished(storage: str, name: str | None) -> ng.Study:
    """The named study; else the newest that is unfinished; else the newest."""
    names = _names(storage)
    if name is not None:
        return ng.Study(storage, name)
    studies = [ng.Study(storage, search) for search in reversed(_searches(names) or names)]
    return next((study for study in studies if not study.finished), studies[0])


def named(storage: str, name: str | None) -> ng.Study:
    """The study of that name, or the newest."""
    return ng.Study(storage, _names(storage)[-1] if name is None else name)


def _names(storage: str) -> list[str]:
    names = ng.Study.names(storage)
    if not names:
        raise Mistake(f"No study in {storage!r}. Give the file that `nongreedy tune` named.")
    return names


def keep_command(study: ng.Study, options: Mapping[str, Any]) -> None:
    """Write down the options, so that the search can go on with the same; larger limits, too."""
    said = json.loads(json.dumps(dict(options), default=str))
    if study.notes().get(_COMMAND) != said:
        study.note(_COMMAND, said)


def command(study: ng.Study) -> dict[str, Any]:
    """The options with which the study was begun."""
    options = study.read(f"note:{_COMMAND}")
    if not isinstance(options, dict):
        raise Mistake(
            f"Study {study.name!r} in {study.address.shown!r} was not begun by `nongreedy tune`. Go on "
            "with it by what began it, with the same settings: ng.tune(..., study=...), or a comparison."
        )
    return options


def how_to_resume(study: ng.Study) -> str:
    """What to type."""
    return f"To go on:\n\n    {resume_command(study)}"


def resume_command(study: ng.Study) -> str:
    """It alone."""
    begun = study.read(f"note:{_COMMAND}")
    begun = begun if isinstance(begun, dict) else {}
    return study.address.resume_command(study.name, begun.get("target"), begun.get("out"))
