"""A search of the command line: conducted, judged, written down."""

import math
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import typer

import nongreedy as ng
from nongreedy.comparison import Piece
from nongreedy.engines import engine_from
from nongreedy.optimizers import Optimizer
from nongreedy.parallel import Ranks
from nongreedy.recipe import Extended, extend
from nongreedy.reports import ReportCallback, schedule_figure
from nongreedy.schedules import Basis
from nongreedy.schedules._drawing._matplotlib import write_figure
from nongreedy.search import Budget
from nongreedy.search._settings import most_outer_steps
from nongreedy.search._words import count, duration, number, spaced
from nongreedy.search.progress._columns import ROOM
from nongreedy.search.progress._lines import still
from nongreedy.search.progress._screen import Screen
from nongreedy.search.rules import outer_from

from . import _judge, _output, _study
from . import _target as options
from ._exit import INTERRUPTED, Mistake, uninterrupted

_NAMED = ("practice", "zero")
_BESIDES = """
What was learned besides needs the groups of the optimizer and the changed training loss:
ng.recipe.Training, as in "In a loop of your own" of docs/recipe.md."""


def located(start: str | None) -> str | None:
    """``--start`` as a study keeps it: a name of `tune`'s, or a file wherever one goes on from."""
    if start is None or start in _NAMED:
        return start
    if not Path(start).is_file():
        named = ", ".join(_NAMED)
        raise Mistake(f"--start takes {named} or the file of a schedule, but got {start!r}.")
    return str(Path(start).resolve())


class Search:
    """A search that is new or goes on; its `out` is known to be writable.

    Args:
        settings: The options of `nongreedy tune`.
        ranks: The processes that share the work, of which the first one shows and writes.

    Raises:
        ValueError: A bad name or limit, before anything is loaded, computed or kept.
    """

    def __init__(self, settings: Mapping[str, Any], ranks: Ranks):
        engine_from(settings["engine"])
        Budget(settings["budget"], seconds=settings["timeout"])
        self.outer, start = outer_from(settings["outer"]), located(settings["start"])
        self.start = start if start is None or start in _NAMED else ng.Schedule.load(start)
        self.target, self.optimizer, self.steps = options.settled(settings)
        self.learned = _extended(self.target.task, self.optimizer, settings["learn"], self.steps)
        self.settings, self.out = settings, settings["out"]
        self.ranks = ranks
        self.seeds = _judge.fresh_seeds(settings["seed"], settings["compare_seeds"])
        self.screen = Screen()
        self.say = self.screen.say

    def conduct(self, study: ng.Study) -> None:
        """Search, judge and write; kept in this study."""
        self.study = study
        self.live = (
            [ReportCallback(study, self.out)] if self.settings["live"] and self.ranks.first else []
        )
        if not self.ranks.first:
            self._tune()
            return
        _study.keep_command(self.study, self.settings)
        self.study.note("trained", self.target.to_json())
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
        if self.learned.parts:
            self.say(_BESIDES)
        if interrupted:
            self.say("\n" + _study.how_to_resume(self.study))
            raise typer.Exit(INTERRUPTED)

    def _run(self) -> ng.Result:
        """Search under a display, and write the outcome at once."""
        self._say_what_comes()
        result = self._tune()
        with uninterrupted(), self._saying_what_is_kept():
            if aside := _output.set_aside(self.out, self.study):
                self.say(f"The files of an earlier search are now in {aside.as_posix()}.")
            result.schedule.save(self.out / _output.SCHEDULE)
            self._write_history(result)
            _output.write_config(self.out, self.settings)
            figure = schedule_figure(result.schedule, result.history, self.steps)
            write_figure(figure, self.out / _output.FIGURE)
        return result

    @contextmanager
    def _saying_what_is_kept(self) -> Iterator[None]:
        """Hours of computing do not end in a full disk: the study has them."""
        try:
            yield
        except OSError as error:
            again = _study.resume_command(self.study)
            raise OSError(
                f"{error}. All that was found is kept in {self.study.address.shown}. Make room, or the "
                f"directory writable; then this writes the files and computes nothing again: {again}"
            ) from error

    def _tune(self) -> ng.Result:
        forwarded = ("outer_steps", "engine", "seed", "budget", "timeout")
        return ng.tune(
            *self.learned, steps=self.steps, outer=self.outer, start=self.start,
            study=self.study, callbacks=[self.screen, *self.live], progress=False, ranks=self.ranks,
            **{name: self.settings[name] for name in forwarded},
        )  # fmt: skip

    def _say_what_comes(self) -> None:
        """What is learned, and what it may cost."""
        named = {"outer_steps": " outer step", "budget": " plain run", "timeout": " second"}
        limits = {**self.settings, "outer_steps": most_outer_steps(self.settings)}
        told = [
            f"{limits[n]:g}{unit}{'' if limits[n] == 1 else 's'}"
            for n, unit in named.items()
            if limits[n] not in (None, math.inf)
        ]
        learned = [n for n, basis in self.optimizer.given().items() if isinstance(basis, Basis)]
        self.say(
            f"Tuning {', '.join(map(spaced, learned))} for {self.target.name}: {self.steps} steps per "
            f"run, up to {' or '.join(told)}."
        )
        for line in self.target.told:
            self.say(textwrap.fill(line, ROOM, subsequent_indent="  "))
        if self.learned.parts:
            self.say(textwrap.fill(f"Besides, {self.learned}", ROOM, subsequent_indent="  "))
        for page in self.live:
            self.say(
                f"Open {page.page.as_posix()} in a browser: it shows the search as it goes on."
            )
        if self.settings["compare"] and self._comparable:
            runs = count(_judge.SCHEDULES * len(self.seeds), "plain run")
            limit = "--budget" if self.settings["budget"] is not None else "the cost of the search"
            self.say(
                f"The comparison with hand-tuned schedules at the end takes {runs} more, which are not "
                f"part of {limit} (--no-compare leaves them out)."
            )

    @property
    def _comparable(self) -> bool:
        return isinstance(self.optimizer, ng.SGD)

    def _write_history(
        self, result: ng.Result, comparison: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        threads, optimizer = torch.get_num_threads(), self.optimizer.to_json()
        settings = {**self.settings, "threads": threads, "optimizer": optimizer}
        _output.write_history(self.out, self.study, result, self.steps, settings, comparison)

    def _announce(self, result: ng.Result, seconds: float) -> None:
        self.say(f"\n{spaced(result.status.name).capitalize()}. {result.status.value}")
        self.say(
            f"Validation loss {number(result.validation_loss, digits=3)}. The search took "
            f"{duration(seconds)} and cost as much as {result.cost:.1f} plain training runs."
        )
        if result.gain is not None:
            self.say(result.gain.verdict)
        for line in still(result):
            self.say(line)

    def _compare(self, result: ng.Result) -> None:
        """Compare with hand-tuned schedules; what is known of it is written whatever happens."""
        if not self._comparable:
            self.say("\nNo comparison: the hand-tuned schedules are for SGD.")
            return
        trainings = count(len(self.seeds), "fresh training")
        self.say(f"\n{trainings} of {self.steps} steps each, mean ± standard error:")
        train, rival = (
            partial(ng.retrain, task, steps=self.steps, optimizer=optimizer)
            for task, optimizer in (
                (self.learned.task, result.optimizer),
                (self.target.task, self.optimizer),
            )
        )
        pieces, kept = list[Piece](), _judge.Kept(self.study, self.steps)
        try:
            _judge.judge(
                result.schedule,
                train,
                rival,
                self.seeds,
                self.screen,
                pieces,
                kept,
                self.target.scale,
            )
        finally:
            rows = _judge.records(pieces, self.target.scale)
            with uninterrupted(), self._saying_what_is_kept():
                self._write_history(result, rows)
                self.study.note("judged", rows)


def _extended(task: ng.Task, optimizer: Optimizer, learn: str | None, steps: int) -> Extended:
    """With the parts that --learn names."""
    if learn is None:
        return Extended(task, optimizer)
    return extend(task, optimizer, [word.strip() for word in learn.split(",")], steps=steps)
