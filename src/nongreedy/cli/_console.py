"""What a search shows while it runs: a row per outer step, and in a terminal a progress line."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

import nongreedy as ng
from nongreedy.integrations._row import texts
from nongreedy.reports._words import duration, number, spaced

REFRESH = 0.1  # seconds between two redrawings; a callback in between must cost next to nothing


def in_terminal() -> bool:
    """Whether someone is watching a screen that can be redrawn."""
    # Rich would believe FORCE_COLOR and CI variables; a file full of control codes helps nobody.
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def make_console(width: int) -> Console:
    """Of this terminal; or plain, and of this width, in pipes and logs."""
    if in_terminal():
        return Console(highlight=False)
    return Console(highlight=False, width=width, color_system=None, force_terminal=False)


class Columns:
    """The table of outer steps: its header and its rows, aligned, one line each."""

    def __init__(self, sizes: Mapping[str, int]):
        self.names = list(sizes)
        # Of at most six characters each: the values, then one sign per value.
        values = [max(len(name), 8 * min(count, 8)) for name, count in sizes.items()]
        columns = [">5", ">6", ">6", *(f"<{width}" for width in values), ">5"]
        room, width = shutil.get_terminal_size((200, 24)).columns, 22 + sum(values)
        gap = "  " if width + 2 * len(columns) <= room else " "
        self.form = gap.join(f"{{:{column}}}" for column in columns)

    def header(self) -> str:
        """Titles; the signs are those of the hypergradients."""
        return self.form.format("outer", "loss", "acc.", *map(spaced, self.names), "sec.").rstrip()

    def line(self, row: ng.OuterStep) -> str:
        """One outer step."""
        loss, accuracy = number(row.validation_loss, digits=3), row.validation_accuracy
        percent = "-" if accuracy is None else f"{100 * accuracy:.1f}%"
        values = (
            f"{' '.join(map(number, row.values.get(name, ())))} {row.signs.get(name, '')}".rstrip()
            for name in self.names
        )
        return self.form.format(row.index, loss, percent, *values, f"{row.seconds:.1f}").rstrip()


@final
class Display(ng.Callback):
    """Where the command line says things; entered while a search runs, which it then watches.

    Rows stay. In a terminal a line below says what is running now and for how long yet; pipes and logs
    get the rows alone, one line each, without control codes.

    Args:
        sizes: Name of each learned hyperparameter -> its largest number of coefficients.
        outer_steps: How many rows are expected at most.
    """

    def __init__(self, sizes: Mapping[str, int] | None = None, outer_steps: int = 0):
        self.columns, self.outer_steps, self.done = Columns(sizes or {}), outer_steps, 0
        self.console, self.live = make_console(width=200), in_terminal()
        columns = TextColumn("[bold]{task.description}"), BarColumn(16), MofNCompleteColumn()
        # Redrawn from the callbacks alone: a second thread would compete with the training.
        self.progress = Progress(
            *columns, TextColumn("[dim]{task.fields[left]}"),
            console=self.console, transient=True, disable=not self.live, auto_refresh=False,
        )  # fmt: skip
        self.work = self.progress.add_task("starting", total=None, left="")
        self.begun = self.outer_begun = self.drawn = time.monotonic()

    def say(self, text: str = "") -> None:
        """Print a paragraph, which only a terminal wraps."""
        self.console.print(Text(text), soft_wrap=not self.live)

    def on_engine(self, engine: ng.Engine, reason: str) -> None:
        self.say(f"engine: {engine}" + (f" (chosen by the planner: {reason})" if reason else ""))
        self.console.print(Text(self.columns.header(), "bold"), soft_wrap=True)

    def on_run_start(self, label: str, steps: int) -> None:
        ended = self.done >= self.outer_steps
        where = "last comparison" if ended else f"outer step {self.done} of {self.outer_steps}"
        title = f"{where}, {label}"
        self.drawn = time.monotonic()
        self.progress.reset(self.work, total=steps, description=title, left=self._left())

    def on_inner_step(self, step: int, steps: int) -> None:
        if time.monotonic() - self.drawn >= REFRESH:
            self.drawn = time.monotonic()
            self.progress.update(
                self.work, completed=step + 1, total=steps, left=self._left(), refresh=True
            )

    def on_outer_step(self, row: ng.OuterStep) -> None:
        self.done += 1
        self.outer_begun = time.monotonic()
        metrics = [f"{n} {number(v, digits=3)}" for n, v in row.validation_metrics.items()]
        note = ", ".join(filter(None, [*metrics, texts(row)["note"]]))
        between = f"\n{'':7}" if self.live and note else "  "
        line = Text(self.columns.line(row), "" if row.accepted else "dim")
        line.append(f"{between}{note}".rstrip(), "dim")
        self.console.print(line, soft_wrap=True)

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

    def _left(self) -> str:
        """Time left if the outer steps to come cost as much as those behind us."""
        if not self.done:
            return ""
        mean = (self.outer_begun - self.begun) / self.done
        ahead = max(self.outer_steps - self.done, 0) * mean
        left = ahead - min(time.monotonic() - self.outer_begun, mean)
        return f"about {duration(max(round(left), 1))} left"

    def __enter__(self) -> Self:
        self.begun = self.outer_begun = time.monotonic()
        self.progress.start()
        return self

    def __exit__(self, *what: Any) -> None:
        self.progress.stop()
