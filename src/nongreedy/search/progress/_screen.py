"""Progress for people: a row per outer step, and in a terminal a line of what is running now."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ...engines import Engine
from .. import Callback, OuterStep, Result
from .._outlook import Outlook
from .._words import duration
from ._columns import Columns
from ._lines import outcome
from ._time_left import TimeLeft

REFRESH = 0.1  # seconds between two redrawings; a callback in between must cost next to nothing


def in_terminal(stream: TextIO | None = None) -> bool:
    """Whether someone is watching a screen that can be redrawn."""
    # Rich would believe FORCE_COLOR and CI variables; a file full of control codes helps nobody.
    stream = stream or sys.stdout
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def make_console(width: int, stream: TextIO | None = None) -> Console:
    """Of this terminal; or plain, and of this width, in pipes and logs."""
    if in_terminal(stream):
        return Console(highlight=False, file=stream)
    return Console(
        highlight=False, file=stream, width=width, color_system=None, force_terminal=False
    )


@final
class Screen(Callback):
    """Shows a search: rows stay, and in a terminal a line below says what is running now and for how long
    yet; pipes and logs get the rows alone, without control codes.

    Args:
        stream: Where; standard output by default.
        verdict: Whether to say in the end what the search came to.
    """

    def __init__(self, stream: TextIO | None = None, verdict: bool = False):
        self.console, self.live = make_console(200, stream), in_terminal(stream)
        self.columns: Columns | None = None
        self.verdict = verdict
        self.outlook: Outlook | None = None
        columns = TextColumn("[bold]{task.description}"), BarColumn(16), MofNCompleteColumn()
        # Redrawn from the callbacks alone: a second thread would compete with the training.
        self.progress = Progress(
            *columns, TextColumn("[dim]{task.fields[left]}"),
            console=self.console, transient=True, disable=not self.live, auto_refresh=False,
        )  # fmt: skip
        self.work = self.progress.add_task("starting", total=None, left="")
        self.drawn = self.run_begun = time.monotonic()
        self.left: TimeLeft | None = None

    def say(self, text: str = "") -> None:
        """Print a paragraph, which only a terminal wraps."""
        self.console.print(Text(text), soft_wrap=not self.live)

    def on_begin(self, outlook: Outlook) -> None:
        self.outlook, self.left = outlook, TimeLeft(outlook)
        self.columns = None
        self.progress.start()

    def on_engine(self, engine: Engine, reason: str) -> None:
        self.say(f"engine: {engine}" + (f" (chosen by the planner: {reason})" if reason else ""))

    def on_run_start(self, label: str, steps: int) -> None:
        self.drawn = self.run_begun = time.monotonic()
        title = f"{self._where()}, {label}"
        self.progress.reset(self.work, total=steps, description=title, left=self._left())

    def on_inner_step(self, step: int, steps: int) -> None:
        if time.monotonic() - self.drawn >= REFRESH:
            self.drawn = time.monotonic()
            self.progress.update(
                self.work, completed=step + 1, total=steps, left=self._left(), refresh=True
            )

    def on_outer_step(self, row: OuterStep) -> None:
        if self.left is not None:
            self.left.add(row)
        columns = self.columns = self.columns or self._headed(row)
        line = Text(columns.line(row), "" if row.accepted else "dim")
        for below in [*columns.notes(row), *columns.legend(row)]:
            line.append(f"\n{below}", "dim")
        self.console.print(line, soft_wrap=True)

    def _headed(self, row: OuterStep) -> Columns:
        """The table, its titles printed; only a row says whether an accuracy has a meaning."""
        accuracy = row.validation_accuracy is not None or not math.isfinite(row.validation_loss)
        columns = Columns(self.outlook.sizes if self.outlook else {}, accuracy=accuracy)
        self.console.print(Text(columns.header(), "bold"), soft_wrap=True)
        if columns.left_out:
            more = f"{columns.left_out} more hyperparameters are learned, and not shown."
            self.console.print(Text(f"{'':7}{more}", "dim"), soft_wrap=True)
        return columns

    def on_result(self, result: Result) -> None:
        if self.verdict:
            self.progress.stop()
            self.say(outcome(result))

    def on_end(self) -> None:
        self.progress.stop()

    @contextmanager
    def bar(self, total: int) -> Iterator[Callable[[str], None]]:
        """Show which of `total` pieces of work is being done: call it with each one's name."""
        columns = TextColumn("{task.description}"), BarColumn(16), TimeRemainingColumn()
        # The same console, so that what is said meanwhile appears above the bar.
        with Progress(
            *columns,
            console=self.console,
            transient=True,
            disable=not self.live,
            refresh_per_second=2,
        ) as progress:
            work = progress.add_task("", total=total + 1)
            yield lambda name: progress.update(work, description=name, advance=1)

    def _where(self) -> str:
        done, outlook = len(self.left.rows) if self.left else 0, self.outlook
        if outlook is None or outlook.budget.released:
            return "last comparison"
        return outlook.step(done)

    def _left(self) -> str:
        """What was left when this run began, less the time that it has taken."""
        seconds = self.left.seconds if self.left else None
        if seconds is None:
            return ""
        yet = seconds - (time.monotonic() - self.run_begun)
        return f"about {duration(max(yet, 1))} left"
