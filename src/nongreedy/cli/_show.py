"""``nongreedy show``: what a schedule is, in the terminal and as a picture."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import nongreedy as ng
from nongreedy._extras import needed

from ._exit import Mistake, reported

if TYPE_CHECKING:
    from nongreedy.schedules import Curve

_PICTURES = (".png", ".svg", ".pdf")
_COLUMNS, _SPARKS = 80, 20  # a sparkline has so many characters at least
_FINE = 1000  # steps of a run of which no length was told


def show(
    schedule: Annotated[Path, typer.Argument(help="A file such as schedule.json.")],
    out: Annotated[
        Path | None, typer.Option(help="A picture to write: .png, .svg, .pdf, or a page, .html.")
    ] = None,
    total_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Length of a run in steps.", show_default="percent of a run"),
    ] = None,
) -> None:
    """Show a schedule: its values over a run as a table, and as a picture with --out."""
    with reported():
        if out is not None and out.suffix not in (*_PICTURES, ".html"):
            known = ", ".join((*_PICTURES, ".html"))
            raise Mistake(f"--out {str(out)!r} ends in none of {known}: name such a file.")
        loaded = ng.Schedule.load(schedule)
        print("\n".join(_table(loaded, total_steps)))
        if out is not None:
            _write(loaded, schedule.name, out, total_steps)
            print(f"\nWritten: {out.as_posix()}")


def _table(schedule: ng.Schedule, total_steps: int | None) -> list[str]:
    from nongreedy.schedules._words import spaced

    width = min(shutil.get_terminal_size((_COLUMNS, 24)).columns, 100)
    names = max(12, *(len(spaced(name)) for name in schedule.curves))
    names = min(names, width - 35 - _SPARKS)
    sparks = width - names - 35
    head = f"{'':{names}}  {'first':>7} {'last':>7} {'least':>7} {'most':>7}  over the run"
    rows = [_row(spaced(n), c, names, sparks, total_steps) for n, c in schedule.curves.items()]
    length = f"Over {total_steps} steps." if total_steps else "It stretches to any number of steps."
    return [head, *rows, "", length]


def _row(name: str, curve: Curve, names: int, sparks: int, total_steps: int | None) -> str:
    from nongreedy.schedules import TimeBasis
    from nongreedy.schedules._drawing._sketch import sparkline
    from nongreedy.schedules._words import number

    shown = name if len(name) <= names else name[: names - 1] + "…"
    if not isinstance(curve.basis, TimeBasis):
        return f"{shown:{names}}  {curve.summary}, throughout the run"
    values = curve.values(total_steps or _FINE)
    ends = (values[0], values[-1], values.min(), values.max())
    told = " ".join(f"{number(float(value), 3):>7}" for value in ends)
    return f"{shown:{names}}  {told}  {sparkline(values.numpy(), sparks)}"


def _write(schedule: ng.Schedule, called: str, out: Path, total_steps: int | None) -> None:
    from nongreedy.schedules._files import make_writable, replace_file

    make_writable(out.parent, "the picture to")
    if out.suffix == ".html":
        from nongreedy.reports._schedule_page import schedule_page

        replace_file(out, schedule_page(schedule, called, total_steps))
        return
    needed("A picture", "matplotlib")
    from nongreedy.schedules._drawing._matplotlib import panels, write_figure
    from nongreedy.schedules._drawing._schedules import drawn

    charts = drawn(schedule.curves, total_steps)
    if not charts:
        raise Mistake("Nothing of the schedule changes over a run, so that there is no picture.")
    write_figure(panels(charts), out)
