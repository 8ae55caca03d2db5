"""Pieces of HTML. Whatever comes from a file passes through `text` or `json_for_script`."""

import html
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..schedules import spelled
from ..schedules._drawing._palette import twin
from ..schedules._drawing._sketch import DASHES


class Html(str):
    """Markup that we wrote: `text` lets it through."""


def text(value: object) -> str:
    """Shown as it is, wherever it stands in a page."""
    return value if isinstance(value, Html) else html.escape(str(value), quote=True)


def swatch(colour: str, dash: str) -> Html:
    """A short line as a figure gives it to a name."""
    strokes = DASHES[dash]
    return Html(
        f'<svg class="swatch" style="--light:{colour};--dark:{twin(colour)}" viewBox="0 0 30 4" '
        f'aria-hidden="true"><path d="M0 2H30" stroke-dasharray="{strokes}"/></svg>'
    )


def choice(keys: Sequence[str], labels: Sequence[str], chosen: str) -> str:
    """Lets the reader choose what some figures show."""
    options = "".join(
        f"<option{' selected' if label == chosen else ''}>{text(label)}</option>"
        for label in labels
    )
    return (
        f'<p class="choose"><label>Show <select data-plots="{text(" ".join(keys))}">'
        f"{options}</select></label></p>"
    )


def section(title: str, *content: str) -> str:
    """A part of the page under a title; its content is HTML already."""
    return f"<section>\n<h2>{text(title)}</h2>\n{''.join(content)}\n</section>\n"


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    numeric: Collection[int] = (),
    long: Collection[int] = (),
) -> str:
    """A table that scrolls inside its box where it is too wide; only `long` columns break lines."""
    columns = range(len(head))
    kinds = ["number" if i in numeric else "long" if i in long else "words" for i in columns]

    def line(tag: str, end: str, cells: Sequence[object]) -> str:
        pairs = zip(kinds, cells, strict=True)
        return "".join(f'<{tag} class="{kind}">{text(cell)}</{end}>' for kind, cell in pairs)

    top = line('th scope="col"', "th", head)
    return _wide(f"<table><thead><tr>{top}</tr></thead>", (line("td", "td", row) for row in rows))


def pairs(rows: Mapping[str, object]) -> str:
    """A table of names and values."""
    lines = (
        f'<th scope="row">{text(name)}</th><td>{text(_shown(value))}</td>'
        for name, value in rows.items()
    )
    return _wide('<table class="pairs">', lines)


def _wide(opening: str, lines: Iterable[str]) -> str:
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide" tabindex="0">{opening}<tbody>{body}</tbody></table></div>'


def _shown(value: object) -> str:
    """A JSON value for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and "class" in value:
        return spelled(value)
    return "none" if value is None else json.dumps(value, default=str)


def _plain(value: Any) -> Any:
    """As JSON has it: arrays as lists, and what is not finite as null, which is a gap in a figure."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [*map(_plain, value)] if isinstance(value, (list, tuple)) else value


def json_for_script(content: Any) -> str:
    """JSON that cannot end the script element which it stands in, nor open a comment."""
    written = json.dumps(_plain(content), allow_nan=False)
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
