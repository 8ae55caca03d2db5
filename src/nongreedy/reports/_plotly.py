"""Charts for the page: what its script hands to Plotly. Plotly reads tags in texts, so they are escaped."""

import html
import math
import textwrap
from typing import Any

import numpy as np

from ..schedules._drawing._chart import Axis, Band, Bars, Chart, Line, Mark, Points, Text, Values

_SYMBOLS = {"dot": ("circle", 0), "ring": ("circle-open", 2), "cross": ("x", 0)}  # and their edges


def figure(chart: Chart) -> dict[str, Any]:
    """Traces, layout, and what each choice shows."""
    drawn = [mark for mark in chart.marks if not isinstance(mark, Text)]
    visible = {label: {*chart.visible(label)} for label in [*chart.choices, chart.chosen]}
    choices = {
        label: [index for index, mark in enumerate(drawn) if mark in visible[label]]
        for label in chart.choices
    }
    layout = {
        "xaxis": _axis(chart.x),
        "yaxis": {"tickformat": "~g", **_axis(chart.y)},
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False},
        "showlegend": chart.legend,
        "barmode": "stack",
        "bargap": 0.35,
    }
    data = [{**_trace(mark, chart), "visible": mark in visible[chart.chosen]} for mark in drawn]
    return {"data": data, "layout": layout, "choices": choices}


def _axis(axis: Axis) -> dict[str, Any]:
    lines = textwrap.wrap(axis.label, 32)
    settings: dict[str, Any] = {"title": {"text": "<br>".join(html.escape(line) for line in lines)}}
    if axis.range is not None:
        settings["range"] = (
            [math.log10(end) for end in axis.range] if axis.logarithmic else axis.range
        )
    if axis.logarithmic:
        settings["tickvals"], settings["ticktext"] = axis.ticks()
        settings["type"] = "log"
    if axis.whole:
        few = axis.range is not None and axis.range[1] < 12.5
        settings |= {"tickformat": "d", **({"dtick": 1} if few else {})}
    if axis.names:
        settings |= {"type": "category", "tickformat": None, "dtick": 1}
    return settings


def _trace(mark: Mark, chart: Chart) -> dict[str, Any]:
    match mark:
        case Band():  # a closed outline: there and back again
            x, y = [*mark.x, *mark.x[::-1]], [*mark.low, *mark.high[::-1]]
            return {
                "type": "scatter", "x": _short(x), "y": _short(y), "mode": "lines", "fill": "toself",
                "fillcolor": mark.colour, "opacity": 0.22, "line": {"color": mark.colour, "width": 0},
                "hoverinfo": "skip", "showlegend": False,
            }  # fmt: skip
        case Line():
            shape = "hv" if mark.stairs else "linear"
            style = {"color": mark.colour, "width": mark.width, "shape": shape,
                     "dash": mark.dash}  # fmt: skip
            return _values(mark, chart) | {"type": "scatter", "mode": "lines", "line": style}
        case Points():
            symbol, edge = _SYMBOLS[mark.symbol]
            style = {"color": mark.colour, "size": mark.size, "opacity": mark.opacity,
                     "symbol": symbol, "line": {"width": edge}}  # fmt: skip
            trace = _values(mark, chart) | {"type": "scatter", "mode": "markers", "marker": style}
            if mark.errors:
                trace["error_x"] = {"array": mark.errors, "color": mark.colour, "thickness": 1.6}
            return trace | ({"yaxis": "y2"} if mark.edge else {})
        case Bars():
            return _values(mark, chart) | {"type": "bar", "marker": {"color": mark.colour}}
        case _:
            raise TypeError(f"{mark!r} is no trace of Plotly's.")


def _values(mark: Line | Points | Bars, chart: Chart) -> dict[str, Any]:
    """Values and what the pointer says of them."""
    y = [html.escape(name) for name in mark.y] if chart.y.names else _short(mark.y)
    hover = f"{html.escape(chart.x.label)} %{{x:.4~g}}"
    if not (chart.y.names or (isinstance(mark, Points) and mark.edge)):
        hover = f"%{{y:.4g}} at {hover}"
    trace: dict[str, Any] = {"x": _short(mark.x), "y": y, "name": html.escape(mark.label)}
    trace["showlegend"] = not isinstance(mark, Line) or (chart.tall and bool(mark.label))
    if not mark.label:
        return trace | {"hoverinfo": "skip"}
    if isinstance(mark, Points) and mark.notes:
        trace["text"] = [html.escape(note) for note in mark.notes]
        hover += "<br>%{text}"
    return trace | {"hovertemplate": f"{hover}<extra>{trace['name']}</extra>"}


def _short(values: Values) -> list[float]:
    """As float32 has them: the page is read by people."""
    return [float(str(value)) for value in np.asarray(values, np.float32)]
