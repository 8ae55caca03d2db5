"""The page itself: one file that needs no network and fetches nothing."""

import gzip
import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from importlib.resources import files

from .._extras import missing
from ..schedules._drawing._chart import Chart
from ..schedules._drawing._palette import twin
from ..schedules._version import __version__
from ..search._words import spaced
from ._markup import choice, json_for_script, pairs, section, text
from ._plotly import figure

# Nothing is fetched: not even a page that was tampered with could.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
)
# Before anything else: what goes wrong in a script is written into the page.
_WATCH = """
"use strict";
document.documentElement.dataset.errors = "";
const note = (what) => {
  document.documentElement.dataset.errors += what + "\\n";
  const place = document.getElementById("trouble");
  if (place) place.textContent = "A figure could not be drawn: " + what;
};
window.onerror = (message, source, line) => { note(message + " (line " + line + ")"); };
window.addEventListener("unhandledrejection", (event) => { note(String(event.reason)); });
"""


def document(
    title: str,
    body: Sequence[str],
    charts: Sequence[Chart],
    beside: str,
    refresh: float | None = None,
) -> str:
    """The whole document.

    Args:
        title: Of the window.
        body: Pieces of HTML, with a place for each chart: :func:`places`.
        charts: What the script draws there.
        beside: What shows the main figures where no script runs.
        refresh: Seconds after which the browser reads the page again; None is never.
    """
    content = {
        "figures": {chart.key: figure(chart) for chart in charts},
        "dark": {colour: twin(colour) for chart in charts for colour in chart.colours()},
    }
    again = "" if refresh is None else f'<meta http-equiv="refresh" content="{refresh:g}">\n'
    parts = files(__package__ or "nongreedy.reports")
    style, script = (parts.joinpath(name).read_text("utf-8") for name in ("style.css", "draw.js"))
    # npm's plotly.js-basic-dist-min, a quarter of what the Python package brings.
    packed = parts.joinpath("plotly-basic.min.js.gz").read_bytes()
    plotly = gzip.decompress(packed).decode("utf-8")
    return f"""<!DOCTYPE html>
<html lang="en" data-errors="">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
{again}<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<script>{_WATCH}</script>
<style>
{style}</style>
</head>
<body>
<main>
{"".join(body)}
<p id="trouble" role="status"></p>
<noscript><p>The figures need JavaScript; {text(beside)}.</p></noscript>
</main>
<script type="application/json" id="figures">{json_for_script(content)}</script>
<script>{plotly}</script>
<script>
{script}</script>
</body>
</html>
"""


def places(charts: Sequence[Chart]) -> str:
    """Where charts are drawn, side by side where there is room."""
    parts = [
        f"<figure>\n<h3>{text(chart.title)}</h3>\n"
        f'<div class="plot{" tall" if chart.tall else ""}" id="{text(chart.key)}" role="img" '
        f'aria-label="{text(chart.caption)}"></div>\n'
        f"<figcaption>{text(chart.caption)}</figcaption>\n</figure>\n"
        for chart in charts
    ]
    labels = list(dict.fromkeys(label for chart in charts for label in chart.choices))
    choose = choice([chart.key for chart in charts], labels, charts[0].chosen) if labels else ""
    return f'{choose}<div class="plots">\n{"".join(parts)}</div>\n'


def facts(rows: Mapping[str, tuple[object, object]]) -> str:
    """What matters most, in boxes: name -> (value, small print)."""
    boxes = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(small)}</small></dd></div>"
        for name, (value, small) in rows.items()
    )
    return f'<dl class="facts">{boxes}</dl>\n'


def settings(rows: Mapping[str, object], *more: str) -> str:
    """What was asked for, and with which versions the page was made."""
    used = [name for name in ("torch", "optuna") if not missing(name)]
    others = {name: metadata.version(name) for name in used}
    versions = {"nongreedy": __version__, **others, "python": platform.python_version()}
    made = "<h3>Versions that made this page</h3>" + pairs(versions)
    return section("Settings", pairs({spaced(k): v for k, v in rows.items()}), *more, made)
