"""Two logarithmic panels: time and memory of one hypergradient, along the axis of a study."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from nongreedy.schedules._drawing._matplotlib import dress
from nongreedy.schedules._drawing._palette import FAINT, INK, PAPER
from nongreedy.search._words import number

from ._peer_cells import PLAIN, Cell
from ._peer_list import ON_SGD
from ._peer_table import Row, Rows, selected, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BELOW = {"horizon": "training steps differentiated", "count": "hyperparameters"}
_DRAWN = {  # what -> (title, the value of a row)
    "time": ("seconds of one hypergradient", lambda row: row["seconds"]),
    "memory": ("peak memory, MiB", lambda row: row["peak"]),
}


def draw(known: Mapping[str, Row], like: Cell, path: Path) -> None:
    """Write the figure of one study of one network; the suffix chooses the format."""
    figure = Figure(figsize=(10.4, 4.6), facecolor=PAPER, layout="constrained")
    methods = set()
    for axis, what in zip(figure.subplots(1, 2), _DRAWN, strict=True):
        rows = selected(known, like, what)
        methods |= {method for method, _ in rows}
        _panel(axis, rows, what, like)
    _key(figure, [name for name in (PLAIN, *ON_SGD) if name in methods], like)
    figure.savefig(path, dpi=200)


def _panel(axis: Axes, rows: Rows, what: str, like: Cell) -> None:
    title, value = _DRAWN[what]
    axis.set_xscale("log")
    axis.set_yscale("log")
    for method in (PLAIN, *ON_SGD):
        points = sorted((place, row) for (name, place), row in rows.items() if name == method)
        points = [(place, row) for place, row in points if "failed" not in row]
        _draw_method(axis, [(place, value(row), row) for place, row in points], colour_of(method))
    if what == "memory" and rows:
        _machine(axis, next(iter(rows.values()))["machine"])
    dress(axis, title, _BELOW[like.study])
    for ticks in (axis.xaxis, axis.yaxis):
        ticks.set_minor_locator(NullLocator())
        ticks.set_major_formatter(lambda place, _: f"{place:,.10g}")


def colour_of(method: str) -> str:
    """Of lines and points."""
    return FAINT if method == PLAIN else ON_SGD[method].colour


def _draw_method(axis: Axes, points: Sequence[tuple[int, float, Row]], colour: str) -> None:
    """Solid through what was measured, dashed from there on; special points have a mark of their own."""
    for (x, y, _), (next_x, next_y, row) in itertools.pairwise(points):
        dashes = (0, (3, 2)) if "forecast" in row else "solid"
        axis.plot([x, next_x], [y, next_y], color=colour, linewidth=1.8, linestyle=dashes)
    for x, y, row in points:
        axis.plot(x, y, color=colour, markersize=7, zorder=3, **_mark(row, colour))


def _mark(row: Row, colour: str) -> dict[str, Any]:
    if row.get("peak", 0.0) > row["machine"]:
        return {"marker": "X", "markeredgecolor": PAPER}
    if not row.get("finite", True):
        return {"marker": "D", "markerfacecolor": PAPER, "markeredgecolor": colour}
    if "forecast" in row:
        return {"marker": "o", "markerfacecolor": PAPER, "markeredgecolor": colour}
    return {"marker": "o", "markeredgecolor": PAPER}


def _machine(axis: Axes, mebibytes: float) -> None:
    axis.axhline(mebibytes, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
    said = f"this machine: {number(mebibytes / 1024)} GiB"
    axis.annotate(
        said, (0.01, mebibytes), xycoords=("axes fraction", "data"), xytext=(0, 4),
        textcoords="offset points", color=INK, fontsize=9,
    )  # fmt: skip


def _key(figure: Figure, methods: Sequence[str], like: Cell) -> None:
    """Methods by colour, then what marks mean."""
    handles = [Line2D([], [], color=colour_of(name), linewidth=3) for name in methods]
    labels = [title_of(name, like.study) for name in methods]
    faint = {"color": FAINT, "markeredgecolor": FAINT, "markersize": 7}
    for label, style in (
        ("extrapolated", {"marker": "o", "markerfacecolor": PAPER, "linestyle": (0, (3, 2))}),
        ("more than the machine's memory", {"marker": "X", "linestyle": "none"}),
        ("NaN or infinite", {"marker": "D", "markerfacecolor": PAPER, "linestyle": "none"}),
    ):
        handles.append(Line2D([], [], **{**faint, **style}))
        labels.append(label)
    figure.legend(
        handles, labels, loc="outside right center", frameon=False, fontsize=9.5, labelcolor=INK,
        handlelength=2.6,
    )  # fmt: skip
