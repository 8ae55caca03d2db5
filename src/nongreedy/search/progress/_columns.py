"""The table of outer steps: aligned rows that fit their room."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence

from .. import OuterStep
from .._words import number, spaced

ROOM = 80  # columns of pipes and logs, and of terminals that do not tell
_FIXED = {"outer": 5, "loss": 6, "acc.": 6}  # before the values; then the seconds
_SECONDS, _INDENT = 6, 7
_LISTED = 8  # values of one hyperparameter that a row has room for, and of signs
_VALUE = 8  # characters of a value with its gap and its sign
_ENDS, _LEAST = 18, 8  # characters of first..last, and of a single value with its sign


_SIGNS = "+ - 0 behind values"
# Words of rows and notes that only a reader of the documentation would know.
_LEGEND = {
    _SIGNS: "the loss rises (+) or falls (-) with the value; 0: the seeds disagree, or it is zero",
    "rung": "how finely values may differ over the run; 0 is one value for all of it",
    "step length": "how far the step went, in first steps of the rule",
    "decades": "factors of ten: 0.3 of them is a factor of 2",
}


def room() -> int:
    """Columns of the terminal, or what COLUMNS says."""
    return max(shutil.get_terminal_size((ROOM, 24)).columns, 40)


class Columns:
    """Titles, rows, and notes below them.

    Args:
        sizes: Name of each learned hyperparameter -> its largest number of coefficients.
        width: Columns that a line may take; hyperparameters that do not fit are left out, and counted.
        accuracy: Whether it has a meaning: else there is no column for it.
    """

    def __init__(self, sizes: Mapping[str, int], width: int | None = None, accuracy: bool = True):
        self.width, self.accuracy = width or room(), accuracy
        self.fixed = {title: size for title, size in _FIXED.items() if accuracy or title != "acc."}
        free = self.width - sum(self.fixed.values()) - 2 * len(self.fixed) - _SECONDS
        self.widths = _shared(sizes, free)
        self.left_out = len(sizes) - len(self.widths)
        columns = [f">{size}" for size in self.fixed.values()]
        columns += [f"<{size}" for size in self.widths.values()]
        self._explained = set[str]()
        self.form = "  ".join(f"{{:{column}}}" for column in [*columns, f">{_SECONDS - 1}"])

    def header(self) -> str:
        """Titles; the signs are those of the hypergradients."""
        titles = [_cut(spaced(name), size) for name, size in self.widths.items()]
        return self.form.format(*self.fixed, *titles, "sec.").rstrip()

    def line(self, row: OuterStep) -> str:
        """One outer step."""
        accuracy, seconds = row.validation_accuracy, row.seconds
        cells = [
            _cell(row.values.get(name, ()), row.signs.get(name, ""), size)
            for name, size in self.widths.items()
        ]
        return self.form.format(
            row.index,
            number(row.validation_loss, digits=3),
            *(["-" if accuracy is None else f"{100 * accuracy:.1f}%"] if self.accuracy else []),
            *cells,
            f"{seconds:.1f}" if seconds < 1000 else f"{seconds:.0f}",
        ).rstrip()

    def legend(self, row: OuterStep) -> list[str]:
        """What stands in this row for the first time, explained."""
        signs = "".join(row.signs.values())
        said = {word for word in _LEGEND if word in row.note or (word == _SIGNS and signs)}
        new = [word for word in _LEGEND if word in said - self._explained]
        self._explained |= said
        lines = list[str]()
        for word in new:
            lines += textwrap.wrap(
                f"{word}: {_LEGEND[word]}", self.width,
                initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT,
            )  # fmt: skip
        return lines

    def notes(self, row: OuterStep) -> list[str]:
        """What happened, on lines of their own."""
        return textwrap.wrap(
            note(row), self.width,
            initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT,
            break_on_hyphens=False,
        )  # fmt: skip


def note(row: OuterStep) -> str:
    """The task's own metrics, and what happened in words."""
    metrics = [f"{name} {number(v, digits=3)}" for name, v in row.validation_metrics.items()]
    return ", ".join(
        filter(None, [*metrics, row.note or ("" if row.accepted else "no improvement")])
    )


def _shared(sizes: Mapping[str, int], free: int) -> dict[str, int]:
    """Name -> characters of its column, two more being between columns: all of its values where these
    fit beside each other, else the first and the last, and as many names as there is room for."""
    ends = {name: _LEAST if count == 1 else _ENDS for name, count in sizes.items()}
    full = {n: _VALUE * count if count <= _LISTED else _ENDS for n, count in sizes.items()}
    for wanted in (full, ends):
        widths = {name: max(size, min(len(spaced(name)), 16)) for name, size in wanted.items()}
        if sum(widths.values()) + 2 * len(widths) <= free:
            return widths
    kept = dict[str, int]()
    for name, size in ends.items():
        if free >= size + 2:
            kept[name] = size
            free -= size + 2
    return kept


def _cell(values: Sequence[float], signs: str, width: int) -> str:
    """The longest of: all values, first..last; each with its signs, or without."""
    told = [number(value) for value in values]
    short = told if len(told) < 2 else [f"{told[0]}..{told[-1]}"]
    signs = signs if len(signs) <= _LISTED else ""
    listed = [" ".join(told)] if len(told) <= _LISTED else []
    for words in (*listed, *short):
        for text in (f"{words} {signs}".rstrip(), words):
            if len(text) <= width:
                return text
    return _cut(" ".join(short), width)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
