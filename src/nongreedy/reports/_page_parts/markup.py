"""Pieces of HTML. Whatever comes from a file passes through `text` or `json_for_script`."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from plotly.utils import PlotlyJSONEncoder

from ...schedules import spelled


class Html(str):
    """Markup that we wrote: `text` lets it through."""


def text(value: object) -> str:
    """Shown as it is, wherever it stands in a page."""
    return value if isinstance(value, Html) else html.escape(str(value), quote=True)


def swatch(light: str, dark: str, dotted: bool) -> Html:
    """A short line in the colours that a figure gives to a name."""
    kind = "dotted" if dotted else "solid"
    return Html(
        f'<i class="swatch" style="--light:{text(light)};--dark:{text(dark)};--kind:{kind}"></i>'
    )


def choice(keys: Sequence[str], labels: Sequence[str], chosen: str) -> str:
    """Lets the reader choose what some figures show."""
    options = "".join(
        f"<option{' selected' if label == chosen else ''}>{text(label)}</option>"
        for label in labels
    )
    return (
        f'<p class="choose"><label>Show <select data-plots="{" ".join(keys)}">'
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
    kind = [
        "number" if index in numeric else "long" if index in long else "words"
        for index in range(len(head))
    ]
    top = "".join(
        f'<th scope="col" class="{k}">{text(t)}</th>' for k, t in zip(kind, head, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{k}">{text(v)}</td>' for k, v in zip(kind, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def pairs(rows: Mapping[str, object]) -> str:
    """A table of names and values."""
    body = "".join(
        f'<tr><th scope="row">{text(name)}</th><td>{text(shown(value))}</td></tr>'
        for name, value in rows.items()
    )
    return (
        f'<div class="wide" tabindex="0"><table class="pairs"><tbody>{body}</tbody></table></div>'
    )


def shown(value: object) -> str:
    """A JSON value for people."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and "class" in value:
        return spelled(value)
    return "none" if value is None else json.dumps(value, default=str)


def json_for_script(content: Any) -> str:
    """JSON that cannot end the script element which it stands in, nor open a comment."""
    written = json.dumps(content, cls=PlotlyJSONEncoder)
    return written.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
