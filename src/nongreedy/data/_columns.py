"""Columns of a table: numbers, or words by their places in a list; what else they may be is refused."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, nearest_name

_CATEGORIES = 100  # of a column of words that becomes as many inputs
_SHOWN = 20  # names of columns in a message


@dataclass(frozen=True)
class Column:
    """One column, nothing of which is missing.

    Attributes:
        values: Numbers, or of words their places in `words`: float64, shape ``(rows,)``.
        words: All words, sorted; none for numbers.
        whole: Whether all numbers are written as whole ones.
    """

    name: str
    values: np.ndarray
    words: tuple[str, ...] = ()
    whole: bool = False


def kept_names(
    what: object, names: Sequence[str], target: str | None, drop: Collection[str]
) -> list[str]:
    """The columns that are read: all but those to drop, in the order of the file.

    Raises:
        DataError: If a column has no name or that of another, there is no header, or what is to be
            predicted or dropped is no column.
    """
    _check_header(what, names)
    if target is None:
        raise DataError(
            f"{what} is a table: say which column is to be predicted, by target='NAME' or --target NAME. It "
            f"has {shown(names)}."
        )
    for role, name in [("target", target), *(("drop", name) for name in drop)]:
        if name not in names:
            more = f" And {len(names) - _SHOWN} more." if len(names) > _SHOWN else ""
            said = nearest_name(name, names[:_SHOWN]) + more
            raise DataError(f"{what} has no column {name!r}, which `{role}` names.{said}")
    if target in drop:
        raise DataError(f"{target!r} cannot be both: predicted (`target`) and left out (`drop`).")
    kept = [name for name in names if name not in drop]
    if len(kept) < 2:
        raise DataError(f"{what} has no column beside {target!r} to predict it from. Add some.")
    return kept


def _check_header(what: object, names: Sequence[str]) -> None:
    unnamed = [
        k for k, name in enumerate(names, 1) if not name or name.startswith("__index_level_")
    ]
    if unnamed:
        raise DataError(
            f"{what} has no name for column {unnamed[0]}. Give it one; if it is the index of a DataFrame, "
            "write the file with index=False."
        )
    if all(map(is_number, names)):
        raise DataError(
            f"{what} has numbers for names of its columns ({shown(names)}): its first row seems to be an "
            "example. Write the names of the columns above it."
        )
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise DataError(f"{what} has several columns {twice!r}. Rename all but one.")


def check_missing(
    what: object, name: str, missing: int, rows: int, target: str | None, where: str = ""
) -> None:
    """Raise DataError where a column has rows without a value."""
    if missing:
        way = "Fill them in, leave these rows out, or the column: " + left_out(name)
        way = (
            "Leave these rows out" if name == target else way
        )  # what was made up is not to be learned
        raise DataError(
            f"{what}: column {name!r} has no value in {missing} of {rows} rows{where}. {way}."
        )


def check_input(what: object, column: Column) -> None:
    """Raise DataError where the words of a column are too many to be categories."""
    rows = len(column.values)
    if len(column.words) > most_words(rows, _CATEGORIES):
        raise DataError(
            f"{what}: column {column.name!r} has {len(column.words)} different words in {rows} rows, such "
            f"as {column.words[0]!r:.40} and {column.words[1]!r:.40}: too many for an input each. Leave it "
            f"out: {left_out(column.name)}; or write fewer, of groups."
        )


def most_words(rows: int, most: int) -> int:
    """How many different words may be categories: where nearly all rows differ, they are names."""
    return min(most, max(10, rows // 2))


def left_out(name: str) -> str:
    """How to leave a column out."""
    return f"drop=[{name!r}], or --drop {name}"


def shown(names: Sequence[str]) -> str:
    """The first of the names."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def is_number(text: str) -> bool:
    """Whether this is a number in digits, as files have them: not ``nan``, nor Python's ``1_000``."""
    try:
        return float(text) == float(text) and "_" not in text
    except ValueError:
        return False
