"""The page of a comparison: ranking, regret against cost, the table, what it was made with."""

from __future__ import annotations

import colorsys
import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from matplotlib.colors import to_hex, to_rgb

from ..reports._figure import FAINT, RETURNED, duration
from ..reports._page_parts.document import document, facts, places, versions
from ..reports._page_parts.markup import Html, choice, pairs, section, swatch, table, text
from ..reports._page_parts.plot import Plot, axes
from ..reports._page_parts.ranking import Place, ranking
from ._figure import OURS, styles
from ._regret import Drawn, Line

if TYPE_CHECKING:
    from ._comparison import Comparison, Row

Lines = Mapping[str, Mapping[str, Any]]  # method -> how its line is drawn
_ALL = "all methods"
_ALIKE = 2.0  # standard errors of a difference that tell nobody apart


def page(found: Comparison) -> str:
    """The whole document."""
    rows, curves = found.rows(), found.regret()
    lines = styles(list(curves))
    ranked, regret, dark = _ranking(found, rows), _regret(curves, lines), _dark(lines)
    choose = choice([regret.key], list(regret.choices), _ALL)
    figures = (places([ranked]), choose, places([regret]))
    body = [_head(found, rows), section("Results", *figures), _table(found, lines, dark)]
    if found.skipped:
        body.append(section("Left out", pairs(found.skipped)))
    given = {key.replace("_", " "): value for key, value in found.settings.items()}
    made = "<h3>Versions that made this page</h3>" + pairs(versions())
    body.append(section("Settings", pairs(given), made))
    beside = "compare.png beside this page shows the regret without"
    return document("Comparison", body, [ranked, regret], dark, beside)


def alike(rows: Sequence[Row]) -> list[Row]:
    """The first row, and those whose means lie within two standard errors of the difference."""
    best, *others = rows
    near = [
        row
        for row in others
        if abs(row.mean - best.mean) <= _ALIKE * math.hypot(row.standard_error, best.standard_error)
    ]
    return [best, *near]


def _head(found: Comparison, rows: Sequence[Row]) -> str:
    cells, settings = found.cells(), found.settings
    best, seeds = rows[0], len({piece.seed for piece in found.pieces})
    several = all(not math.isnan(row.standard_error) for row in rows if row.scores)
    near = f"{len(alike(rows))} of {len(rows)}" if several else "unknown"
    why = (
        f"means within {_ALIKE:g} standard errors of the best"
        if several
        else "a single search of a method says nothing of its scatter"
    )
    what = found.measure.replace("_", " ")
    shown = {
        "Best mean": (best.method, f"{what} {cells[0][1]}, over searches"),
        "Not told apart": (near, why),
        "Budget": (f"{settings.get('budget', 0):g} plain runs", "at most, for each search"),
        "Searches": (len(found.pieces), f"finished, of {seeds * len(rows)}"),
        "Time": (duration(sum(piece.seconds for piece in found.pieces)), "that the searches took"),
    }
    lead = (
        f"{len(rows)} methods searched for schedules of {settings.get('steps')} steps at equal cost, "
        "counted in gradients. What each search chose on validation data was trained afresh "
        f"{settings.get('retrain_seeds')} times on seeds that no search had used."
    )
    return f"<h1>Comparison</h1>\n<p>{text(lead)}</p>\n{facts(shown)}"


def _ranking(found: Comparison, rows: Sequence[Row]) -> Plot:
    scale = 100 if found.measure.endswith("accuracy") else 1
    ranked = [
        Place(r.method, [scale * s for s in r.scores], scale * r.mean, scale * r.standard_error)
        for r in rows
    ]
    caption = (
        f"{found.measure.replace('_', ' ').capitalize()} of the choice of each search, mean over its "
        f"fresh trainings, and their mean over searches. Best at the top: {rows[0].method}."
    )
    return ranking(ranked, found.measure, "method", "one search", caption)


def _regret(curves: Mapping[str, Line], lines: Lines) -> Plot:
    drawn, figure = Drawn.of(curves), go.Figure()
    for name, style in lines.items():
        costs, values = zip(*drawn.lines[name], strict=True)
        dash = "dot" if style["linestyle"] == ":" else "solid"
        label = html.escape(name)
        figure.add_scatter(
            x=costs, y=values, mode="lines", name=label,
            line={"color": style["color"], "width": style["linewidth"], "dash": dash, "shape": "hv"},
            hovertemplate="%{y:.3g} after %{x:.1f} plain runs<extra>" + label + "</extra>",
        )  # fmt: skip
    axes(figure, "cost (plain training runs)", "validation loss above the best", None)
    low, high = (math.log10(value) for value in (drawn.floor / 1.25, drawn.top))
    figure.update_yaxes(type="log", range=[low, high], dtick=1, exponentformat="power")
    figure.update_xaxes(range=[0, drawn.end])
    figure.update_layout(showlegend=False)
    caption = (
        "Validation loss, in fresh trainings, of what each method would have returned at this "
        "cost, mean over searches, above that of the best of all at its end. The best is 0 and is "
        "drawn just above the lower edge. Colours are those of the table; dotted: the paper's ranges."
    )
    return Plot("regret", "Regret against cost", caption, figure, _choices(list(curves)), tall=True)


def _choices(methods: Sequence[str]) -> dict[str, list[int]]:
    """What may be shown: all lines, or ours with those of one kind."""
    ours = [place for place, name in enumerate(methods) if name in OURS]
    kinds: dict[str, list[int]] = {}
    for place, name in enumerate(methods):
        if name not in OURS:
            kinds.setdefault(_kind(name), []).append(place)
    return {_ALL: list(range(len(methods)))} | {
        f"ours and {kind}": sorted([*ours, *others]) for kind, others in kinds.items()
    }


def _kind(name: str) -> str:
    if name.endswith("-paper-ranges"):
        return "black boxes in the paper's ranges"
    black_box = name.startswith(("random", "tpe", "bohb"))
    return "black boxes in positive ranges" if black_box else "other methods"


def _table(found: Comparison, lines: Lines, dark: Mapping[str, str]) -> str:
    rows = []
    for name, *rest in found.cells():
        style = lines.get(name)
        mark = (
            swatch(style["color"], dark[style["color"]], style["linestyle"] == ":") if style else ""
        )
        rows.append([Html(mark + text(name)), *rest])
    return section("Table", table(found.head(), rows, numeric=range(3, 8), long=(2,)))


def _dark(lines: Lines) -> dict[str, str]:
    """Every colour so light that it stands out of black."""
    used = {FAINT, *(style["color"] for style in lines.values())}
    light = {colour: _lighter(colour) for colour in used}
    return {**light, RETURNED: "#f2f7fc"}


def _lighter(colour: str) -> str:
    hue, lightness, saturation = colorsys.rgb_to_hls(*to_rgb(colour))
    return to_hex(colorsys.hls_to_rgb(hue, max(lightness, 0.68), saturation))
