"""The page itself: one file that needs no network and fetches nothing."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from importlib.resources import files

from plotly.offline import get_plotlyjs

from ...schedules._version import __version__
from .markup import json_for_script, text
from .plot import Plot

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
    title: str, body: Sequence[str], plots: Sequence[Plot], dark: Mapping[str, str], beside: str
) -> str:
    """The whole document.

    Args:
        title: Of the window.
        body: Pieces of HTML, with a place for each figure: :func:`places`.
        plots: The figures.
        dark: Colour on white -> colour on black.
        beside: What shows the main figures where no script runs.
    """
    content = {
        "figures": {plot.key: plot.to_json() for plot in plots},
        "choices": {plot.key: plot.choices for plot in plots if plot.choices},
        "dark": dict(dark),
    }
    parts = files(__package__ or "nongreedy.reports._page_parts")
    style, script = (parts.joinpath(name).read_text("utf-8") for name in ("style.css", "draw.js"))
    return f"""<!DOCTYPE html>
<html lang="en" data-errors="">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
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
<script>{get_plotlyjs()}</script>
<script>
{script}</script>
</body>
</html>
"""


def places(plots: Sequence[Plot]) -> str:
    """Where figures are drawn, side by side where there is room."""
    parts = [
        f"<figure>\n<h3>{text(plot.title.replace('_', ' '))}</h3>\n"
        f'<div class="plot{" tall" if plot.tall else ""}" id="{plot.key}" role="img" '
        f'aria-label="{text(plot.caption)}"></div>\n'
        f"<figcaption>{text(plot.caption)}</figcaption>\n</figure>\n"
        for plot in plots
    ]
    return f'<div class="plots">\n{"".join(parts)}</div>\n'


def facts(rows: Mapping[str, tuple[object, object]]) -> str:
    """What matters most, in boxes: name -> (value, small print)."""
    boxes = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(small)}</small></dd></div>"
        for name, (value, small) in rows.items()
    )
    return f'<dl class="facts">{boxes}</dl>\n'


def versions() -> dict[str, object]:
    """Of what made the page."""

    others = {name: metadata.version(name) for name in ("torch", "optuna", "plotly")}
    return {"nongreedy": __version__, **others, "python": platform.python_version()}
