"""``nongreedy resume``: go on with a search that was interrupted or killed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import _output, _study
from . import _target as options
from ._exit import Mistake, reported
from ._tune import conduct, tune


def resume(
    study: Annotated[str, typer.Argument(help="SQLite file or database URL of the study.")],
    target: options.Argument = None,
    name: Annotated[
        str | None, typer.Option(help="Of the study.", show_default="the newest unfinished one")
    ] = None,
) -> None:
    """Go on with a search where it was interrupted or killed, to the same result.

    A search of your own task names no code by itself: give the task again, as in
    `nongreedy resume runs/latest/study.db my_task.py:task`.
    """
    with reported():
        kept = _study.found(study, name)
        settings = _checked(_study.command(kept), target)
        _output.prepared(settings["out"])
        conduct(settings, kept)


def _checked(asked: dict[str, Any], target: str | None) -> dict[str, Any]:
    """The options of the first command. A study is data: the code to run is named by who resumes."""
    unknown = sorted(set(asked) ^ set(_options()))
    if unknown:
        raise Mistake(
            f"The study was begun with other options of `nongreedy tune` ({', '.join(unknown)}) than "
            "this release has. Install the release that began it."
        )
    if asked["target"] != target:
        again = f"it again: nongreedy resume STUDY {asked['target']}" if asked["target"] else "none"
        raise Mistake(f"The study is of target {asked['target']!r}, not {target!r}. Give {again}.")
    return {**asked, "out": Path(asked["out"])}


def _options() -> list[str]:
    return list(tune.__annotations__.keys() - {"return"})
