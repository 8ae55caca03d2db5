"""What a search shows while it runs: a row per outer step, and in a terminal a progress line."""

from __future__ import annotations

import abc
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Self, final

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

import nongreedy as ng
from nongreedy.reports._words import duration, number

REFRESH = 0.1  # seconds between two redrawings; a callback in between must cost next to nothing


class Display(ng.Callback, abc.ABC):
    """Where the command line says things; entered while a search runs, which it then watches."""

    @abc.abstractmethod
    def say(self, text: str = "") -> None:
        """Print a paragraph."""

    @abc.abstractmethod
    def bar(self, total: int) -> AbstractContextManager[Callable[[str], None]]:
        """Show which of `total` pieces of work is being done: call it with each one's name."""

    def on_engine(self, engine: ng.Engine, reason: str) -> None:
        self.say(f"engine: {engine}" + (f" (chosen by the planner: {reason})" if reason else ""))
        self.head()

    @abc.abstractmethod
    def head(self) -> None:
        """Print the titles of the table of outer steps."""

    @abc.abstractmethod
    def __enter__(self) -> Self: ...

    @abc.abstractmethod
    def __exit__(self, *what: Any) -> None: ...


def display(sizes: Mapping[str, int], outer_steps: int) -> Display:
    """The display for this standard output: live in a terminal, plain lines in pipes and CI.

    Args:
        sizes: Name of each learned hyperparameter -> its largest number of coefficients.
        outer_steps: How many rows are expected at most.
    """
    columns = Columns(sizes)
    return LiveDisplay(columns, outer_steps) if in_terminal() else PlainDisplay(columns)


def in_terminal() -> bool:
    """Whether someone is watching a screen that can be redrawn."""
    # Rich would believe FORCE_COLOR and CI variables; a file full of control codes helps nobody.
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


class Columns:
    """The table of outer steps: its header and its rows, aligned, one line each."""

    def __init__(self, sizes: Mapping[str, int]):
        self.names = list(sizes)
        # Of at most six characters each: the values, then one sign per value.
        needed = {name: 8 * min(count, 8) for name, count in sizes.items()}
        values = [max(len(name), needed[name]) for name in self.names]
        self.widths = [5, 6, 6, *values, 5]
        self.right = {0, 1, 2, len(self.widths) - 1}
        room = shutil.get_terminal_size((200, 24)).columns
        self.gap = "  " if sum(self.widths) + 2 * len(self.widths) <= room else " "

    def header(self) -> str:
        """Titles; the signs are those of the hypergradients."""
        names = [name.replace("_", " ") for name in self.names]
        return self._aligned(["outer", "loss", "acc.", *names, "sec."])

    def line(self, row: ng.OuterStep) -> str:
        """One outer step."""
        accuracy = row.validation_accuracy
        cells = [
            str(row.index),
            number(row.validation_loss, digits=3),
            "-" if accuracy is None else f"{100 * accuracy:.1f}%",
            *(self._values(row, name) for name in self.names),
            f"{row.seconds:.1f}",
        ]
        return self._aligned(cells)

    def note(self, row: ng.OuterStep) -> str:
        """What there is to say about it, perhaps nothing."""
        return row.note or ("" if row.accepted else "no improvement")

    def _values(self, row: ng.OuterStep, name: str) -> str:
        values = " ".join(number(value) for value in row.values.get(name, ()))
        return f"{values} {row.signs.get(name, '')}".rstrip()

    def _aligned(self, cells: list[str]) -> str:
        placed = [
            cell.rjust(width) if place in self.right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(cells, self.widths, strict=True))
        ]
        return self.gap.join(placed).rstrip()


@final
class PlainDisplay(Display):
    """One line per outer step, no control codes, each line written out at once."""

    def __init__(self, columns: Columns):
        self.columns = columns

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    def on_outer_step(self, row: ng.OuterStep) -> None:
        self.say(f"{self.columns.line(row)}  {self.columns.note(row)}".rstrip())

    def bar(self, total: int) -> AbstractContextManager[Callable[[str], None]]:
        del total
        return nullcontext(lambda name: None)

    def head(self) -> None:
        self.say(self.columns.header())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *what: Any) -> None:
        del what


@final
class LiveDisplay(Display):
    """Rows that stay, above a line that says what is running now and for how long yet."""

    def __init__(self, columns: Columns, outer_steps: int):
        self.columns, self.outer_steps, self.done = columns, outer_steps, 0
        self.console = Console(highlight=False)
        self.progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[left]}"),
            console=self.console,
        )
        self.work = self.progress.add_task("starting", total=None, left="")
        # Redrawn from the callbacks alone: a second thread would compete with the training.
        self.live = Live(self.progress, console=self.console, auto_refresh=False, transient=True)
        self.begun = self.outer_begun = self.drawn = time.monotonic()

    def say(self, text: str = "") -> None:
        self.console.print(text, markup=False)

    def on_run_start(self, label: str, steps: int) -> None:
        ended = self.done >= self.outer_steps
        where = "last comparison" if ended else f"outer step {self.done} of {self.outer_steps}"
        title = f"{where}, {label}"
        self.progress.reset(self.work, total=steps, description=title, left=self._left())
        self._draw()

    def on_inner_step(self, step: int, steps: int) -> None:
        if time.monotonic() - self.drawn < REFRESH:
            return
        self.progress.update(self.work, completed=step + 1, total=steps, left=self._left())
        self._draw()

    def on_outer_step(self, row: ng.OuterStep) -> None:
        self.done += 1
        self.outer_begun = time.monotonic()
        line = Text(self.columns.line(row), "" if row.accepted else "dim")
        self.console.print(line, soft_wrap=True)
        if note := self.columns.note(row):
            self.console.print(Text(f"{'':7}{note}", "dim"), soft_wrap=True)

    @contextmanager
    def bar(self, total: int) -> Iterator[Callable[[str], None]]:
        parts = TextColumn("{task.description}"), BarColumn(bar_width=16), TimeRemainingColumn()
        # The same console, so that what is said meanwhile appears above the bar.
        progress = Progress(*parts, console=self.console, transient=True, refresh_per_second=2)
        with progress:
            work = progress.add_task("", total=total + 1)
            yield lambda name: progress.update(work, description=name, advance=1)

    def _draw(self) -> None:
        self.drawn = time.monotonic()
        self.live.refresh()

    def _left(self) -> str:
        """Time left if the outer steps to come cost as much as those behind us."""
        if not self.done:
            return ""
        mean = (self.outer_begun - self.begun) / self.done
        ahead = max(self.outer_steps - self.done, 0) * mean
        left = ahead - min(time.monotonic() - self.outer_begun, mean)
        return f"about {duration(max(round(left), 1))} left"

    def head(self) -> None:
        self.console.print(Text(self.columns.header(), "bold"), soft_wrap=True)

    def __enter__(self) -> Self:
        self.begun = self.outer_begun = time.monotonic()
        self.live.start()
        return self

    def __exit__(self, *what: Any) -> None:
        del what
        self.live.stop()
