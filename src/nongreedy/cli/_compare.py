"""``nongreedy compare``: many methods, one task, equal budgets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nongreedy as ng

from . import _config
from . import _target as options
from ._exit import INTERRUPTED, reported, uninterrupted
from ._names import METHODS

if TYPE_CHECKING:
    from nongreedy.comparison import Piece
    from nongreedy.search.progress._screen import Screen

    from ._load import Target

STUDY = "compare.db"


def compare(
    target: options.Argument = None,
    data: options.Data = None,
    column: options.Column = None,
    drop: options.Drop = None,
    model: options.Model = None,
    epochs: options.Epochs = 10,
    batch_size: options.BatchSize = None,
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
    knots: options.Knots = None,
    windows: options.Windows = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first search.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for the results.")] = Path("runs/compare"),
    device: options.Device = None,
    train_examples: options.TrainExamples = None,
    threads: options.Threads = None,
    study: Annotated[
        str | None,
        typer.Option(help="SQLite file or database URL.", show_default="compare.db in --out"),
    ] = None,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared",
            help="Other processes, also on other machines, run the same command on the same --study: each "
            "claims one search after the other.",
        ),
    ] = False,
    config: _config.Option = None,
) -> None:
    """Compare searches at equal cost: ours, Optuna's, hypergradient descent, tuned peaks.

    Writes compare.html, compare.json, compare.png and config.toml (its options) to
    --out, and keeps its study there, compare.db.
    The same command goes on where it was stopped or killed, also in the middle of a search.
    """
    settings = dict(locals())
    with reported():
        import torch

        from nongreedy.search._words import duration
        from nongreedy.search.progress._screen import Screen

        from . import _output

        _output.prepare(out)
        chosen, optimizer, steps = options.settled(settings)
        screen = Screen()
        screen.say(
            f"Comparing on {chosen.name}: {steps} steps per run, {budget:g} plain runs per search, "
            f"{seeds} searches per method, {torch.get_num_threads()} threads."
        )
        for line in chosen.told:
            screen.say(line)
        started = time.perf_counter()
        try:
            comparison = _run(chosen, optimizer, steps, settings, screen)
        except KeyboardInterrupt:
            _write(ng.Comparison.load(study or out / STUDY), settings, screen)
            screen.say("Interrupted: the same command goes on from here.")
            raise typer.Exit(INTERRUPTED) from None
        _write(comparison, settings, screen)
        screen.say(f"It took {duration(time.perf_counter() - started)}.")


def _run(
    target: Target, optimizer: ng.Optimizer, steps: int, settings: Mapping[str, Any], screen: Screen
) -> ng.Comparison:
    names = [name.strip() for name in settings["methods"].split(",")]
    count = (len(METHODS) if names == ["all"] else len(names)) * settings["seeds"]
    forwarded = ("budget", "seeds", "retrain_seeds", "curve_seeds", "seed")
    with screen.bar(count) as started:
        return ng.compare(
            target.task, optimizer, steps=steps, name=target.name,
            methods="all" if names == ["all"] else names,
            study=settings["study"] or settings["out"] / STUDY, shared=settings["shared"], started=started,
            finished=lambda piece: screen.say(_line(piece)),
            **{name: settings[name] for name in forwarded},
        )  # fmt: skip


def _line(piece: Piece) -> str:
    """One search in a line, as it is finished."""
    from nongreedy.comparison._table import shown
    from nongreedy.search._words import duration

    from ._judge import worded

    score = "nothing found"
    if measure := next(iter(piece.fresh), ""):
        score = worded(shown(piece.score(measure), measure.endswith("accuracy")), measure)
    cost = f"{piece.cost:.1f} plain runs, {duration(piece.seconds)}"
    return f"  {piece.method:<26} seed {piece.seed}  {score}  ({cost})"


def _write(comparison: ng.Comparison, settings: Mapping[str, Any], screen: Screen) -> None:
    """The table on the screen, the methods best first; the files in the directory."""
    from rich.table import Table

    from nongreedy.schedules._files import replace_file
    from nongreedy.search.progress._screen import make_console

    out = settings["out"]
    if not comparison.pieces:
        screen.say("No search was finished.")
        return
    with uninterrupted():
        files = [*comparison.save(out), out / _config.FILE]
        replace_file(files[-1], _config.content("compare", settings))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(comparison.head()):
        table.add_column(title, justify="right" if number else "left")
    for cells in comparison.cells():
        table.add_row(*cells, style="bold" if cells[0] in ("default", "paper") else "")
    screen.say()
    make_console(width=140).print(table)
    for name, reason in comparison.skipped.items():
        screen.say(f"Left out: {name} ({reason}).")
    written = [path.as_posix() for path in files]
    written.append(ng.Study(settings["study"] or out / STUDY).address.shown)
    screen.say("Written:\n" + "\n".join(f"  {place}" for place in written))
