"""``nongreedy cite``: BibTeX of the methods that a search used."""

from __future__ import annotations

from typing import Annotated

import typer

import nongreedy as ng

from . import _study
from ._exit import reported


def cite(
    study: Annotated[
        str | None,
        typer.Argument(
            help="SQLite file or database URL of the search to cite. Without: the core method."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the study.", show_default="the newest")
    ] = None,
) -> None:
    """Print BibTeX of the methods used, each publication once, for a .bib file."""
    with reported():
        if study is None:
            print(ng.cite(), end="")
            return
        print(ng.cite(_study.named(study, name).result()), end="")
