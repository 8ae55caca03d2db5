"""``nongreedy report``: what a study has to say, as a page and as images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import nongreedy as ng

from . import _study
from ._exit import Mistake, reported


def report(
    study: Annotated[str, typer.Argument(help="SQLite file or database URL of the study.")],
    name: Annotated[
        str | None, typer.Option(help="Of the study.", show_default="the newest")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Directory for the report.", show_default="beside the study"),
    ] = None,
) -> None:
    """Write report.html, one page that works offline, and report.png and report.svg for papers.

    Schedules over training and how they grew, losses, hypergradients with their noise, cost, settings.
    """
    with reported():
        kept = _study.newest(study, name)
        try:
            page = ng.report(kept, out)
        except OSError as error:
            raise Mistake(str(error)) from error
        print(f"Written: {page.as_posix()} (report.png and report.svg beside it)")
