"""``nongreedy tune`` and ``resume``: search for a schedule, judge it, write it down."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import nongreedy as ng
from nongreedy.comparison import Piece
from nongreedy.engines import engine_from
from nongreedy.reports import schedule_figure
from nongreedy.reports._words import duration, number, spaced
from nongreedy.schedules import Basis
from nongreedy.search.rules import outer_from

from . import _judge, _output, _study
from . import _target as options
from ._console import Display
from ._exit import INTERRUPTED, Mistake, reported, uninterrupted


def tune(
    target: options.Argument = None,
    data: options.Data = None,
    model: options.Model = None,
    epochs: options.Epochs = 10,
    outer_steps: Annotated[int, typer.Option(min=1, help="Improvements to try.")] = 10,
    batch_size: options.BatchSize = None,
    engine: Annotated[
        str, typer.Option(help="auto, forward, reverse, reverse:checkpoint, reversible.")
    ] = "auto",
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
        _output.prepare(out)
        Search(settings, _study.begun(study or out / _study.FILE)).conduct()


def resume(
    study: _study.Argument,
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
        unfinished = _study.unfinished(study, name)
        settings = _same(_study.command(unfinished), target)
        _output.prepare(settings["out"])
        Search(settings, unfinished).conduct()


def _same(settings: dict[str, Any], target: str | None) -> dict[str, Any]:
    """The options of the first command. A study is data: the code to run is named by who resumes."""
    unknown = sorted(set(settings) ^ (tune.__annotations__.keys() - {"return"}))
    if unknown:
        raise Mistake(
            f"The study was begun with other options of `nongreedy tune` ({', '.join(unknown)}) than "
            "this release has. Install the release that began it."
        )
    if (begun := settings["target"]) != target:
        again = f"it again: nongreedy resume STUDY {begun}" if begun else "none"
        raise Mistake(f"The study is of target {begun!r}, not {target!r}. Give {again}.")
    return {**settings, "out": Path(settings["out"])}


class Search:
    """A search in a study that is new or goes on; its `out` is known to be writable.

    Args:
        settings: The options of `nongreedy tune`.
        study: Where it is kept.

    Raises:
        ValueError: A bad name, before anything is loaded or computed.
    """

    def __init__(self, settings: Mapping[str, Any], study: ng.Study):
        engine_from(settings["engine"])
        self.outer = outer_from(settings["outer"])
        self.target, self.optimizer, self.steps = options.settled(settings)
        self.settings, self.study, self.out = settings, study, settings["out"]
        # What is learned rather than fixed, and its number of coefficients.
        values = self.optimizer.given().items()
        self.sizes = {name: b.size(self.steps) for name, b in values if isinstance(b, Basis)}
        self.screen = Display(self.sizes, settings["outer_steps"])
        self.say = self.screen.say

    def conduct(self) -> None:
        """Search, judge and write."""
        _study.keep_command(self.study, self.settings)
        started = time.perf_counter()
        result = self._run()
        seconds = time.perf_counter() - started
        interrupted = result.status is ng.Status.interrupted
        try:
            self._announce(result, seconds)
            if self.settings["compare"] and not interrupted:
                self._compare(result)
        except KeyboardInterrupt:
            interrupted = True
        place = self.study.address.shown
        self.say("\n" + _output.summary(self.out, self.steps, interrupted, place))
        if interrupted:
            self.say("\n" + _study.how_to_resume(self.study))
            raise typer.Exit(INTERRUPTED)

    def _run(self) -> ng.Result:
        """Search under a display, and write the outcome at once."""
        self.say(
            f"Tuning {', '.join(map(spaced, self.sizes))} for {self.target.name}: {self.steps} steps per "
            f"run, up to {self.settings['outer_steps']} outer steps."
        )
        forwarded = ("outer_steps", "engine", "seed", "budget")
        with self.screen:
            result = ng.tune(
                self.target.task, self.optimizer, steps=self.steps, outer=self.outer,
                study=self.study, callbacks=[self.screen],
                **{name: self.settings[name] for name in forwarded},
            )  # fmt: skip
        with uninterrupted():
            result.schedule.save(self.out / _output.SCHEDULE)
            self._write_history(result)
            figure = schedule_figure(result.schedule, result.history, self.steps)
            figure.savefig(self.out / _output.FIGURE, dpi=200)
        return result

    def _write_history(
        self, result: ng.Result, comparison: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        threads, optimizer = torch.get_num_threads(), self.optimizer.to_json()
        settings = {**self.settings, "threads": threads, "optimizer": optimizer}
        _output.write_history(self.out, result, self.steps, settings, comparison)

    def _announce(self, result: ng.Result, seconds: float) -> None:
        self.say(f"\n{spaced(result.status.name).capitalize()}. {result.status.value}")
        self.say(
            f"Validation loss {number(result.validation_loss, digits=3)}. The search took "
            f"{duration(seconds)} and cost as much as {result.cost:.1f} plain training runs."
        )

    def _compare(self, result: ng.Result) -> None:
        """Compare with hand-tuned schedules; what is known of it is written whatever happens."""
        if not isinstance(self.optimizer, ng.SGD):
            self.say("\nNo comparison: the hand-tuned schedules are for SGD.")
            return
        seeds = _judge.fresh_seeds(self.settings["seed"], self.settings["compare_seeds"])
        trainings = f"{len(seeds)} fresh trainings of {self.steps} steps each"
        self.say(f"\n{trainings}, mean ± standard error:")
        train = partial(ng.retrain, self.target.task, steps=self.steps, optimizer=self.optimizer)
        pieces = list[Piece]()
        try:
            _judge.judge(result.schedule, train, seeds, self.screen, pieces)
        finally:
            rows = _judge.records(pieces)
            with uninterrupted():
                self._write_history(result, rows)
                self.study.note("judged", rows)
