"""``nongreedy tune``: search for a schedule, judge it, write it down."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import nongreedy as ng
from nongreedy.comparison import Piece
from nongreedy.engines import engine_from
from nongreedy.optimizers import Optimizer
from nongreedy.reports._words import duration, number
from nongreedy.schedules import Basis
from nongreedy.search.rules import OuterRule, outer_from

from . import _judge, _load, _output, _study
from . import _target as options
from ._console import Display
from ._exit import INTERRUPTED, reported, uninterrupted


@dataclass(frozen=True)
class Search:
    """Everything that `nongreedy tune` was asked to do, checked; `given` are its options."""

    target: _load.Target
    optimizer: Optimizer
    outer: OuterRule
    steps: int
    study: ng.Study
    given: Mapping[str, Any]

    @property
    def learned(self) -> dict[str, int]:
        """What is learned rather than fixed, and its number of coefficients."""
        given = self.optimizer.given().items()
        return {name: basis.size(self.steps) for name, basis in given if isinstance(basis, Basis)}

    @property
    def settings(self) -> dict[str, Any]:
        """For the history file."""
        return {
            **self.given,
            "threads": torch.get_num_threads(),
            "optimizer": self.optimizer.to_json(),
        }

    def run(self, screen: Display) -> ng.Result:
        """The search itself."""
        given = {name: self.given[name] for name in ("outer_steps", "engine", "seed", "budget")}
        return ng.tune(
            self.target.task, self.optimizer, steps=self.steps, outer=self.outer,
            study=self.study, callbacks=[screen], **given,
        )  # fmt: skip


def tune(
    target: options.Argument = None,
    data: options.Data = None,
    model: options.Model = None,
    epochs: options.Epochs = 10,
    outer_steps: Annotated[int, typer.Option(min=1, help="Improvements to try.")] = 10,
    batch_size: options.BatchSize = None,
    engine: Annotated[
        str, typer.Option(help="auto, forward, reverse, reverse:checkpoint, reversible.")
    ] = ("auto"),
    outer: Annotated[
        str, typer.Option(help="Outer rule: default, or paper (sign steps from zero).")
    ] = "default",
    knots: options.Knots = None,
    windows: options.Windows = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for what is found.")] = Path("runs/latest"),
    device: options.Device = None,
    train_examples: options.TrainExamples = None,
    threads: options.Threads = None,
    budget: Annotated[
        float | None, typer.Option(help="Stop after this cost, in plain training runs.")
    ] = None,
    compare: Annotated[
        bool, typer.Option(help="Compare with hand-tuned schedules at the end.")
    ] = True,
    compare_seeds: Annotated[int, typer.Option(min=1, help="Fresh trainings for each.")] = 5,
    study: Annotated[
        str | None,
        typer.Option(help="SQLite file or database URL.", show_default="study.db in --out"),
    ] = None,
) -> None:
    """Find learning rate, momentum and weight decay over a whole training run, from nothing.

    Writes schedule.json, history.json and schedule.png to --out. Whatever is computed is kept in a
    study at once: after Ctrl-C or a kill, `nongreedy resume` goes on.
    """
    settings = dict(locals())
    with reported():
        _output.prepared(out)
        kept = _study.begun(study or out / _study.FILE)
        conduct(settings, kept)


def conduct(settings: Mapping[str, Any], study: ng.Study) -> None:
    """Search, judge and write, in a study that is new or goes on; --out is known to be writable."""
    out, outer_steps = settings["out"], settings["outer_steps"]
    with reported():
        search = _checked(settings, study)
        _study.keep_command(study, settings)
        screen = Display(search.learned, outer_steps)
        started = time.perf_counter()
        result = _search(search, screen, out)
        seconds = time.perf_counter() - started
        interrupted = result.status is ng.Status.interrupted
        try:
            _announce(result, seconds, screen)
            if settings["compare"] and not interrupted:
                _compare(search, result, screen, out)
        except KeyboardInterrupt:
            interrupted = True
        kept = study.address.shown
        screen.say("\n" + _output.summary(out, search.steps, interrupted, kept))
        if interrupted:
            screen.say("\n" + _study.how_to_resume(study))
            raise typer.Exit(INTERRUPTED)


def _checked(given: Mapping[str, Any], study: ng.Study) -> Search:
    """Every name, before anything is loaded or computed."""
    engine_from(given["engine"])
    outer = outer_from(given["outer"])
    target, optimizer, steps = options.settled(given)
    return Search(target, optimizer, outer, steps, study, given)


def _search(search: Search, screen: Display, out: Path) -> ng.Result:
    """Run the search under a display, and write its outcome at once."""
    names = [name.replace("_", " ") for name in search.learned]
    screen.say(
        f"Tuning {', '.join(names)} for {search.target.name}: {search.steps} steps per run, "
        f"up to {search.given['outer_steps']} outer steps."
    )
    with screen:
        result = search.run(screen)
    with uninterrupted():
        _output.write_result(out, result, search.steps, search.settings)
    return result


def _announce(result: ng.Result, seconds: float, screen: Display) -> None:
    status = result.status.name.replace("_", " ").capitalize()
    screen.say(f"\n{status}. {result.status.value}")
    screen.say(
        f"Validation loss {number(result.validation_loss, digits=3)}. The search took "
        f"{duration(seconds)} and cost as much as {result.cost:.1f} plain training runs."
    )


def _compare(search: Search, result: ng.Result, screen: Display, out: Path) -> None:
    """Compare with hand-tuned schedules; what is known of it is written whatever happens."""
    if not isinstance(search.optimizer, ng.SGD):
        screen.say("\nNo comparison: the hand-tuned schedules are for SGD.")
        return
    seeds = _judge.fresh_seeds(search.given["seed"], search.given["compare_seeds"])
    shown = f"{len(seeds)} fresh trainings of {search.steps} steps each"
    screen.say(f"\n{shown}, mean ± standard error:")
    train = partial(ng.retrain, search.target.task, steps=search.steps, optimizer=search.optimizer)
    pieces = list[Piece]()
    try:
        _judge.judge(result.schedule, train, seeds, screen, pieces)
    finally:
        rows = _judge.records(pieces)
        with uninterrupted():
            _output.write_history(out, result, search.steps, search.settings, rows)
            _study.keep_judged(search.study, rows)
