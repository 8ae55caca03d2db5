"""Charts as images. No pyplot state is touched, so that a notebook, a server or a thread may draw."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, Formatter, FuncFormatter, MaxNLocator, NullFormatter

from .._files import replace_file
from .._words import alike, number
from ._chart import Band, Bars, Chart, Line, Mark, Points, Text
from ._palette import FAINT, GRID, INK, PAPER, RETURNED, of_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = {"solid": "-", "dot": ":", "dash": "--", "dashdot": "-."}


class _Alike(Formatter):
    """Ticks of one axis in one way of writing numbers."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        del pos
        return number(x, digits=3)

    def format_ticks(self, values: list[float]) -> list[str]:
        return alike(values)


def write_figure(figure: Figure, file: Path, dpi: int = 200) -> None:
    """Write a figure, of the kind that the file's name ends in, all or nothing.

    Raises:
        OSError: The file cannot be written; it is named.
    """
    drawn = io.BytesIO()
    figure.savefig(drawn, format=file.suffix.removeprefix("."), dpi=dpi)
    replace_file(file, drawn.getvalue())


def panels(charts: Sequence[Chart], what: str = "", new: Callable[..., Figure] = Figure) -> Figure:
    """Charts side by side; those of a search under a key that says what light, dark and hollow mean.

    Args:
        what: Of a search, the dark line, such as "returned schedule".
        new: Makes the figure: pyplot's, too, where it is to be shown by that.
    """
    columns = 2 if len(charts) in (2, 4) else min(len(charts), 3)
    rows = math.ceil(len(charts) / columns)
    size = (4.6 * columns, 2.75 * rows + (0.45 if what else 0))
    figure = new(figsize=size, facecolor=PAPER, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.14, h_pad=0.10, wspace=0.03, hspace=0.04)  # pyright: ignore
    for place, chart in enumerate(charts):
        draw(figure.add_subplot(rows, columns, 1 + place), chart)
    if what:
        _key(figure, charts, what)
    return figure


def _key(figure: Figure, charts: Sequence[Chart], what: str) -> None:
    handles: dict[str, Any] = {
        "outer steps, first to last": tuple(
            Line2D([], [], color=of_step(place, 5), linewidth=3, solid_capstyle="butt")
            for place in range(5)
        ),
        what: Line2D([], [], color=RETURNED, linewidth=3),
    }
    for mark in itertools.chain(*(chart.marks for chart in charts)):
        if isinstance(mark, Points) and mark.symbol != "dot":
            handles[mark.label] = Line2D(
                [], [], linestyle="none", marker="x" if mark.symbol == "cross" else "o",
                markersize=7, markerfacecolor=PAPER, markeredgecolor=mark.colour,
            )  # fmt: skip
    figure.legend(
        [*handles.values()], [*handles], loc="outside upper left", ncols=4, frameon=False, fontsize=10,
        labelcolor=FAINT, handlelength=3.2, columnspacing=2.2, borderpad=0.2,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
    )  # fmt: skip


def single(chart: Chart) -> Figure:
    """One chart, the names of its lines beside it."""
    figure = Figure((9.2, 5.2), facecolor=PAPER, layout="constrained")
    draw(figure.add_subplot(), chart)
    if chart.marks:
        beside = figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=INK)
        for text in beside.get_texts():
            text.set_parse_math(False)
    return figure


def draw(axis: Axes, chart: Chart) -> None:
    axis.margins(x=0.06, y=0.12)
    for order, mark in enumerate(chart.marks):
        below = np.sum([bars.y for bars in chart.marks[:order] if isinstance(bars, Bars)], axis=0)
        _draw(axis, mark, 2 + order / len(chart.marks), below)
    axis.set(xlim=chart.x.range, ylim=chart.y.range)
    if chart.y.logarithmic:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(FixedLocator(chart.y.ticks()[0]))
        axis.yaxis.set_minor_formatter(NullFormatter())
    if chart.x.logarithmic:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(FixedLocator(chart.x.ticks()[0]))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, digits=3)))
        axis.xaxis.set_minor_formatter(NullFormatter())
    else:
        axis.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    dress(axis, chart.title, chart.x.label)
    if chart.y.label != chart.title:
        axis.set_ylabel(chart.y.label, color=FAINT, fontsize=10, parse_math=False)
    if any(isinstance(mark, Bars) for mark in chart.marks):
        axis.legend(frameon=False, fontsize=9, labelcolor=FAINT, ncols=2, loc="upper left")


def dress(axis: Axes, title: str, below: str) -> None:
    axis.set_title(
        title, loc="left", color=INK, fontsize=12, fontweight="bold", pad=9, parse_math=False
    )
    axis.set_xlabel(below, color=FAINT, fontsize=10)
    axis.yaxis.set_major_formatter(_Alike())
    axis.tick_params(colors=FAINT, labelsize=9.5, length=0, which="both")
    axis.grid(axis="y", color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color("#c6ccd4")


def _draw(axis: Axes, mark: Mark, order: float, base: Any) -> None:
    match mark:
        case Line():
            edge = withStroke(linewidth=mark.width + 2.4, foreground=PAPER)
            axis.plot(
                mark.x, mark.y, color=mark.colour, linewidth=mark.width, zorder=order,
                linestyle=_DASHES[mark.dash], path_effects=[edge] if mark.edged else None,
                drawstyle="steps-post" if mark.stairs else "default", label=mark.label or None,
            )  # fmt: skip
        case Band():
            style = {"color": mark.colour, "alpha": 0.22, "linewidth": 0, "zorder": order}
            axis.fill_between(mark.x, mark.low, mark.high, **style)
        case Points():
            _points(axis, mark, order)
        case Bars():
            axis.bar(mark.x, mark.y, bottom=base, color=mark.colour, width=0.65, label=mark.label)
        case Text():
            axis.annotate(
                mark.text, (mark.x, mark.y), xytext=(0, mark.gap), textcoords="offset points",
                ha=mark.side, va="top" if mark.gap < 0 else "bottom", color=mark.colour, fontsize=10,
                fontweight=mark.weight, path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
            )  # fmt: skip


def _points(axis: Axes, mark: Points, order: float) -> None:
    if len(mark.errors):
        axis.errorbar(mark.x, mark.y, xerr=mark.errors, fmt="none", color=mark.colour, zorder=order)
    colours: dict[str, Any] = {
        "dot": {"c": mark.colour, "edgecolors": PAPER},
        "ring": {"c": PAPER, "edgecolors": mark.colour},
        "cross": {"c": mark.colour, "marker": "x"},
    }[mark.symbol]
    where = axis.get_xaxis_transform() if mark.edge else axis.transData
    axis.scatter(
        mark.x, mark.y, mark.size**2, alpha=mark.opacity, zorder=order, transform=where, **colours
    )
