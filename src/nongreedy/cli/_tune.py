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
from nongreedy.engines import Engine, engine_from
from nongreedy.optimizers import Optimizer
from nongreedy.reports._figure import duration, number
from nongreedy.schedules import Basis
from nongreedy.search.rules import OuterRule, outer_from

from . import _compare, _load_task, _output, _study
from ._console import Display, display
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


@dataclass(frozen=True)
class Search:
    """Everything that `nongreedy tune` was asked to do, checked."""

    target: _load_task.Target
    optimizer: Optimizer
    engine: str | Engine
    outer: OuterRule
    steps: int
    outer_steps: int
    seed: int
    budget: float | None
    study: ng.Study
    settings: Mapping[str, Any]

    @property
    def learned(self) -> dict[str, int]:
        """What is learned rather than fixed, and its number of coefficients."""
        given = self.optimizer.given().items()
        return {name: basis.size(self.steps) for name, basis in given if isinstance(basis, Basis)}

    def run(self, screen: Display) -> ng.Result:
        """The search itself."""
        return ng.tune(
            self.target.task,
            self.optimizer,
            steps=self.steps,
            outer_steps=self.outer_steps,
            engine=self.engine,
            outer=self.outer,
            seed=self.seed,
            budget=self.budget,
            study=self.study,
            callbacks=[screen],
        )


def tune(
    target: TargetArgument = None,
    data: DataOption = None,
    model: ModelOption = None,
    epochs: EpochsOption = 10,
    outer_steps: Annotated[int, typer.Option(min=1, help="Improvements to try.")] = 10,
    batch_size: BatchSizeOption = None,
    engine: Annotated[
        str, typer.Option(help="auto, forward, reverse, reverse:checkpoint, reversible.")
    ] = ("auto"),
    outer: Annotated[
        str, typer.Option(help="Outer rule: default, or paper (sign steps from zero).")
    ] = "default",
    knots: KnotsOption = None,
    windows: WindowsOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search.")] = 0,
    out: Annotated[Path, typer.Option(help="Directory for what is found.")] = Path("runs/latest"),
    device: DeviceOption = None,
    train_examples: TrainExamplesOption = None,
    threads: ThreadsOption = None,
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
    out, compare, compare_seeds = (settings[n] for n in ("out", "compare", "compare_seeds"))
    outer_steps = settings["outer_steps"]
    with reported():
        search = _settle(settings, study)
        _study.keep_command(study, settings)
        screen = display(search.learned, outer_steps)
        started = time.perf_counter()
        result = _search(search, screen, out)
        seconds = time.perf_counter() - started
        interrupted = result.status is ng.Status.interrupted
        try:
            _announce(result, seconds, screen)
            if compare and not interrupted:
                _judge(search, result, screen, out, compare_seeds)
        except KeyboardInterrupt:
            interrupted = True
        kept = study.address.shown
        screen.say("\n" + _output.summary(out, search.steps, interrupted, kept))
        if interrupted:
            screen.say("\n" + _study.how_to_resume(study))
            raise typer.Exit(INTERRUPTED)


def _settle(given: Mapping[str, Any], study: ng.Study) -> Search:
    """Check every name before anything is loaded or computed."""
    engine_from(given["engine"])
    outer = outer_from(given["outer"])
    target, optimizer, steps = settled(given)
    settings = {
        **given,
        "threads": torch.get_num_threads(),
        "optimizer": ng.schedules.identity(optimizer),
    }
    return Search(
        target, optimizer, given["engine"], outer, steps,
        given["outer_steps"], given["seed"], given["budget"], study, settings,
    )  # fmt: skip


def _search(search: Search, screen: Display, out: Path) -> ng.Result:
    """Run the search under a display, and write its outcome at once."""
    names = [name.replace("_", " ") for name in search.learned]
    screen.say(
        f"Tuning {', '.join(names)} for {search.target.name}: {search.steps} steps per run, "
        f"up to {search.outer_steps} outer steps."
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


def _judge(search: Search, result: ng.Result, screen: Display, out: Path, seeds: int) -> None:
    """Compare with hand-tuned schedules; what is known of it is written whatever happens."""
    if not isinstance(search.optimizer, ng.SGD):
        screen.say("\nNo comparison: the hand-tuned schedules are for SGD.")
        return
    table = _compare.entries(result.schedule)
    task, optimizer, steps = search.target.task, search.optimizer, search.steps
    screen.say(f"\n{seeds} fresh trainings of {steps} steps each, mean ± standard error:")
    try:
        with screen.bar(len(table) * seeds) as started:
            _compare.compare(
                partial(ng.retrain, task, steps=steps, optimizer=optimizer),
                table,
                _compare.fresh_seeds(search.seed, seeds),
                started=started,
                finished=lambda entry: screen.say(entry.line()),
            )
        screen.say(_compare.verdict(table))
    finally:
        rows = [entry.record() for entry in table if entry.scores]
        with uninterrupted():
            _output.write_history(out, result, search.steps, search.settings, rows)
            _study.keep_judged(search.study, rows)
