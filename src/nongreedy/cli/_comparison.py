"""``nongreedy compare``: many methods, one task, equal budgets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

import nongreedy as ng
from nongreedy.comparison import METHODS, Piece
from nongreedy.comparison._comparison import shown, spread

from . import _output
from ._console import Display, display, duration
from ._problem import INTERRUPTED, reported, uninterrupted
from ._target import (
    BatchSizeOption,
    DataOption,
    DeviceOption,
    EpochsOption,
    KnotsOption,
    ModelOption,
    TargetArgument,
    ThreadsOption,
    TrainExamplesOption,
    WindowsOption,
    settled,
)

STUDY = "compare.db"


def compare(
    target: TargetArgument = None,
    data: DataOption = None,
    model: ModelOption = None,
    epochs: EpochsOption = 10,
    batch_size: BatchSizeOption = None,
    budget: Annotated[
        float, typer.Option(help="Plain training runs' worth of gradients, for each search.")
    ] = 40,
    methods: Annotated[
        str, typer.Option(help=f"all, or names joined by commas: {', '.join(METHODS)}.")
    ] = "all",
    seeds: Annotated[int, typer.Option(min=1, help="Searches per method.")] = 3,
    retrain_seeds: Annotated[
        int, typer.Option(min=1, help="Fresh trainings of what each search found.")
    ] = 5,
    curve_seeds: Annotated[
        int,
        typer.Option(min=0, help="Fresh trainings of each schedule on the way, for the figure."),
    ] = 2,
    knots: KnotsOption = None,
    windows: WindowsOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first search.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for the results.")] = Path("runs/compare"),
    device: DeviceOption = None,
    train_examples: TrainExamplesOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Compare searches at equal cost: ours, Optuna's, hypergradient descent, tuned peaks.

    Writes compare.html, compare.json and compare.png to --out, and keeps its study there, compare.db.
    The same command goes on where it was stopped or killed, also in the middle of a search.
    """
    given = dict(locals())
    with reported():
        _output.prepared(out)
        chosen, optimizer, steps = settled(given)
        screen = display({}, 0)
        screen.say(
            f"Comparing on {chosen.name}: {steps} steps per run, {budget:g} plain runs per search, "
            f"{seeds} searches per method, {torch.get_num_threads()} threads."
        )
        started = time.perf_counter()
        try:
            found = _run(chosen.task, optimizer, steps, given, screen)
        except KeyboardInterrupt:
            _write(ng.Comparison.load(out / STUDY), out, screen)
            screen.say("Interrupted: the same command goes on from here.")
            raise typer.Exit(INTERRUPTED) from None
        _write(found, out, screen)
        screen.say(f"It took {duration(time.perf_counter() - started)}.")


def _run(
    task: ng.Task, optimizer: ng.Optimizer, steps: int, given: Mapping[str, Any], screen: Display
) -> ng.Comparison:
    names = [name.strip() for name in given["methods"].split(",")]
    count = (len(METHODS) if names == ["all"] else len(names)) * given["seeds"]
    with screen.bar(count) as started:
        return ng.compare(
            task,
            optimizer,
            steps=steps,
            budget=given["budget"],
            methods="all" if names == ["all"] else names,
            seeds=given["seeds"],
            retrain_seeds=given["retrain_seeds"],
            curve_seeds=given["curve_seeds"],
            seed=given["seed"],
            study=given["out"] / STUDY,
            started=started,
            finished=lambda piece: screen.say(_line(piece)),
        )


def _line(piece: Piece) -> str:
    """One search in a line, as it is finished."""
    measure = next(iter(piece.fresh), None)
    percent = bool(measure and measure.endswith("accuracy"))
    what = "nothing found"
    if measure:
        what = (
            f"{shown(piece.score(measure), percent)}{' %' if percent else ''} "
            + measure.replace("_", " ")
        )
    cost = f"{piece.cost:.1f} plain runs, {duration(piece.seconds)}"
    return f"  {piece.method:<26} seed {piece.seed}  {what}  ({cost})"


def _write(found: ng.Comparison, out: Path, screen: Display) -> None:
    """The table on the screen, the files in the directory."""
    if not found.pieces:
        screen.say("No search was finished.")
        return
    with uninterrupted():
        files = found.save(out)
    screen.say()
    Console(highlight=False, width=None if Console().is_terminal else 140).print(table(found))
    for name, reason in found.skipped.items():
        screen.say(f"Left out: {name} ({reason}).")
    screen.say("Written:\n" + "\n".join(f"  {p.as_posix()}" for p in (*files, out / STUDY)))


def table(found: ng.Comparison) -> Table:
    """The methods, best first."""
    percent, what = found.measure.endswith("accuracy"), found.measure.replace("_", " ")
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    drawn.add_column("method")
    for title in (what + (" (%)" if percent else ""), "validation loss", "as seen", "cost",
                  "runs", "unfinished", "time"):  # fmt: skip
        drawn.add_column(title, justify="right")
    for row in found.rows():
        drawn.add_row(
            row.method, spread(row, percent), f"{row.validation_loss:.4f}", f"{row.seen_loss:.4f}",
            f"{row.cost:.1f}", f"{row.runs:.0f}", f"{row.unfinished:.0f}", duration(row.seconds),
            style="bold" if row.method in ("default", "paper") else "",
        )  # fmt: skip
    return drawn
