"""Tables as text: .csv and .tsv, with the names of the columns in the first row."""

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..errors import DataError
from ._columns import Column, check_missing, is_number, kept_names
from ._source import reading

# What programs write where a number is missing.
_MISSING = frozenset((
    "", "?", "#N/A", "#NA", "<NA>", "N/A", "n/a", "NA", "na", "NULL", "null", "NaN", "nan", "-nan", "None",
))  # fmt: skip
_COMMA = re.compile(r"[-+]?\d[\d.,' ]*,\d+")
_CELLS = 2**20  # that are held as text at a time


def read_delimited(path: Path, target: str | None, drop: Collection[str]) -> list[Column]:
    """Read a file whose cells are separated by commas, semicolons or tabs, whichever the header has most.

    Raises:
        DataError: If the file is no text in UTF-8, has no rows, rows of different lengths, or a column with
            both numbers and words, numbers with commas, or missing values.
    """
    advice = "Save it as CSV in UTF-8, with one line for each row."
    with reading(path, advice), path.open(encoding="utf-8-sig", newline="") as stream:
        separator = "\t" if path.suffix.lower() == ".tsv" else _separator(stream)
        lines = _lines(path, stream, separator)
        _, header = next(lines, (0, []))
        if not header:
            raise DataError(
                f"{path} is empty. Write the names of the columns, and a row for each example."
            )
        names = [name.strip() for name in header]
        if len(names) == 1:
            raise DataError(
                f"{path} has a single column, {names[0]!r:.60}. Separate columns by commas, semicolons or "
                "tabs."
            )
        kept = set(kept_names(path, names, target, drop))
        gathered = {k: _Gathered(name) for k, name in enumerate(names) if name in kept}
        rows = _gather(path, lines, len(names), gathered)
    if not rows:
        raise DataError(
            f"{path} has the names of columns, but no rows. Add a row for each example."
        )
    return [each.column(path, rows, target) for each in gathered.values()]


def _separator(stream: TextIO) -> str:
    first = next((line for line in stream if line.strip()), "")
    stream.seek(0)
    return max(",;\t", key=lambda mark: len(next(csv.reader([first], delimiter=mark), ())))


def _lines(path: Path, stream: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Numbers of lines, and their cells; empty lines are left out."""
    reader = csv.reader(stream, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        yield from ((reader.line_num, row) for row in reader if row)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {reader.line_num}: {error}. A cell within quotes begins and ends with them, and "
            "has those that it contains twice."
        ) from error


def _gather(path: Path, lines: Iterator[Any], width: int, gathered: dict[int, "_Gathered"]) -> int:
    """Add all rows to the columns; how many there are."""
    count = 0
    while part := list(islice(lines, max(1, _CELLS // width))):
        for number, row in part:
            if len(row) != width:
                raise DataError(
                    f"{path}, line {number}: {len(row)} cells, but the header names {width} columns. Write "
                    'as many; a cell that has a separator within it needs quotes, "a, b".'
                )
        numbers, rows = zip(*part, strict=True)
        columns = list(zip(*rows, strict=True))
        for place, column in gathered.items():
            column.add(columns[place], numbers)
        count += len(part)
    return count


class _Gathered:
    """One column as it is read."""

    def __init__(self, name: str):
        self.name, self.whole = name, True
        self.numbers, self.places = list[np.ndarray](), list[int]()
        self.words = dict[str, tuple[int, int]]()  # -> its place, and the line where it came first
        self.first: tuple[str, int] | None = None  # number, and its line

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        marks = set("".join(cells))
        try:
            values = np.array(cells, np.float64)
        except ValueError:
            values = np.array([np.nan])
        if np.isnan(values).any() or "_" in marks:
            cells, lines = self._without_words(cells, lines)
            values = np.array(cells, np.float64)
        if len(cells):
            self.first = self.first or (cells[0], lines[0])
            self.whole = self.whole and not marks - set("+-0123456789 ")
            self.numbers.append(values)

    def _without_words(
        self, cells: Sequence[str], lines: Sequence[int]
    ) -> tuple[list[str], list[int]]:
        """Keep what is no number among the words; the numbers, and their lines."""
        left, at = list[str](), list[int]()
        for cell, line in zip(cells, lines, strict=True):
            word = cell.strip()
            if word not in self.words:
                if is_number(word):
                    left.append(word)
                    at.append(line)
                    continue
                self.words[word] = len(self.words), line
            self.places.append(self.words[word][0])
        return left, at

    def column(self, path: Path, rows: int, target: str | None) -> Column:
        """What it is; refused where it is nothing."""
        proper = [word for word in self.words if word not in _MISSING]
        self._check_kinds(path, proper)
        lacking = [word for word in self.words if word == "" or not proper]
        lines = [self.words[word][1] for word in lacking]
        counts = np.bincount(self.places, minlength=len(self.words))
        missing = sum(int(counts[self.words[word][0]]) for word in lacking)
        where = f", at first in line {min(lines)}" if lines else ""
        check_missing(path, self.name, missing, rows, target, where)
        if not proper:
            return Column(self.name, np.concatenate(self.numbers), whole=self.whole)
        ordered = sorted(self.words)
        renumbered = np.empty(len(ordered))
        renumbered[[self.words[word][0] for word in ordered]] = np.arange(len(ordered))
        return Column(self.name, renumbered[self.places], tuple(ordered))

    def _check_kinds(self, path: Path, proper: list[str]) -> None:
        """Raise DataError where there are numbers and words, or numbers in another form."""
        commas = [word for word in proper if _COMMA.fullmatch(word)]
        if commas and (self.first or len(commas) == len(proper)):
            raise DataError(
                f"{path}: column {self.name!r} has numbers with commas, such as {commas[0]!r} (line "
                f"{self.words[commas[0]][1]}). Write a point before decimals, and nothing between thousands."
            )
        if proper and self.first:
            (number, line), word = self.first, proper[0]
            raise DataError(
                f"{path}: column {self.name!r} has both numbers and words, such as {number!r} (line {line}) "
                f"and {word!r:.40} (line {self.words[word][1]}). Write all of it as numbers, or all as words."
            )
