"""Tables, slopes and the figure of the study of growth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ._growth_cells import AXES, OURS, Cell

Rows = Mapping[str, Mapping[str, Any]]
TITLES = {
    OURS: "ng.Reverse()",
    "autograd": "unrolled autograd",
    "higher": "higher",
    "torchopt": "torchopt",
}
COLOURS = {OURS: "#0b3c6f", "autograd": "#b5651d", "higher": "#c8342c", "torchopt": "#d98a00"}
SHOWN = {"seconds": "seconds of one hypergradient", "peak": "peak memory above the start, MiB"}
# Two-sided quantiles of Student's t at 95 %, by degrees of freedom.
_T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45}


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of log y by log x, with half the width of its confidence interval of 95 %; NaN of too few."""
    logs = [(math.log(x), math.log(y)) for x, y in points if y > 0]
    freedom = len(logs) - 2
    if freedom < 1:
        return math.nan, math.nan
    mean_x, mean_y = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    width = sum((x - mean_x) ** 2 for x, _ in logs)
    found = sum((x - mean_x) * (y - mean_y) for x, y in logs) / width
    rest = sum((y - mean_y - found * (x - mean_x)) ** 2 for x, y in logs)
    return found, _T[freedom] * math.sqrt(rest / freedom / width)


def points_of(rows: Rows, axis: str, method: str, what: str) -> list[tuple[float, float]]:
    """(place, value) of what came to an end."""
    found = ((place, rows.get(Cell(axis, place, method).key, {})) for place in AXES[axis])
    return [(place, row[what]) for place, row in found if what in row]


def upper(axis: str, points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Where what grows is not yet hidden by what every run takes: the last three places."""
    return points[-3:] if axis in ("parameters", "horizon") else points


def tables(rows: Rows) -> list[str]:
    """Markdown."""
    lines = list[str]()
    for axis, places in AXES.items():
        methods = [m for m in TITLES if points_of(rows, axis, m, "seconds")]
        lines += ["", f"### {axis.capitalize()}", ""]
        lines += [
            "| | " + " | ".join(f"{place:,}" for place in places) + " | slope of time | of memory |"
        ]
        lines += ["|---|" + "---|" * (len(places) + 2)]
        for method in methods:
            cells = [_cell(rows.get(Cell(axis, place, method).key)) for place in places]
            fits = (upper(axis, points_of(rows, axis, method, what)) for what in SHOWN)
            lines.append(f"| {TITLES[method]} | {' | '.join([*cells, *map(_fitted, fits)])} |")
    return lines


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if "failed" in row:
        return "no"
    return f"{row['ratio']:.1f} ({row['seconds']:.3g} s)" + (
        "" if row["finite"] else ", not finite"
    )


def _fitted(points: Sequence[tuple[float, float]]) -> str:
    found, half = slope(points)
    return "" if math.isnan(found) else f"{found:.2f} ± {half:.2f}"


def failures(rows: Rows) -> list[str]:
    """What did not come to an end, and why."""
    return [
        f"- {key.replace('|', ', ')}: {row['failed']}"
        for key, row in rows.items()
        if "failed" in row
    ]


def draw(rows: Rows, path: Path) -> None:
    """Time above, memory below, an axis each; the suffix chooses the format."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    from nongreedy.schedules._drawing._matplotlib import dress
    from nongreedy.schedules._drawing._palette import PAPER

    axes = [axis for axis in AXES if axis != "ranks"]
    figure = Figure(figsize=(11.5, 6.4), facecolor=PAPER, layout="constrained")
    for panels, (what, title) in zip(figure.subplots(2, len(axes)), SHOWN.items(), strict=True):
        for panel, axis in zip(panels, axes, strict=True):
            panel.set_xscale("log")
            panel.set_yscale("log")
            for method, name in TITLES.items():
                points = [(x, y) for x, y in points_of(rows, axis, method, what) if y > 0]
                if points:
                    panel.plot(
                        *zip(*points, strict=True), "o-", color=COLOURS[method], label=name, ms=4
                    )
            low, high = panel.get_ylim()
            if high < 100 * low:  # what is nearly level shall look so
                middle = (low * high) ** 0.5
                panel.set_ylim(middle / 10, middle * 10)
            panel.yaxis.set_minor_locator(NullLocator())
            dress(panel, title if panel is panels[0] else "", axis)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=160)
