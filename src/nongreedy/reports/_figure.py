"""One picture of a search: how the schedules grew over the outer steps, and what they earned."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..schedules import Curve, Linear, Schedule
from ..schedules._curve import as_row
from ..search import OuterStep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, PAPER = "#1b2430", "#7b8696", "#ffffff"
RETURNED = "#0b3c6f"
OUTER_STEPS = LinearSegmentedColormap.from_list("outer steps", ["#cfe1f2", "#8fbfe0", "#3f86c0"])
LOG_RATIO = 4.0  # a panel is logarithmic when its values span more than this
MOST_LABELS = 8  # more windows than this: their values are read from the axis


def schedule_figure(
    schedule: Schedule,
    history: Sequence[OuterStep],
    path: str | Path,
    steps: int,
) -> Path:
    """Draw the returned schedule over its predecessors, and the validation loss of each.

    Args:
        schedule: What the search returned; drawn dark.
        history: Rows of the search (``OuterStep``); drawn lighter the earlier they are.
        path: Where the image goes; the suffix chooses the format (``.png``, ``.svg``, ``.pdf``).
        steps: Length of a training run, for the horizontal axis.

    Returns:
        ``path``, written.

    Touches no pyplot state, so it can be called from a notebook, a server or a thread.
    """
    path = Path(path)
    _drawn(schedule, history, steps).savefig(path, dpi=200)
    return path


def _drawn(schedule: Schedule, history: Sequence[OuterStep], steps: int) -> Figure:
    panels = len(schedule.curves) + 1
    figure = Figure(figsize=_size(panels), facecolor=PAPER, layout="constrained")
    axes = _panels(figure, panels)
    figure.get_layout_engine().set(w_pad=0.14, h_pad=0.10, wspace=0.03, hspace=0.04)  # pyright: ignore
    for axis, (name, curve) in zip(axes[:-1], schedule.curves.items(), strict=True):
        draw_schedule(axis, name, curve, history, steps)
    draw_losses(axes[-1], history, origin(schedule, history, steps))
    draw_key(figure, history)
    return figure


def origin(schedule: Schedule, history: Sequence[OuterStep], steps: int) -> OuterStep | None:
    """The last accepted row whose values over a run are those of the schedule, or None."""
    for row in reversed([row for row in history if row.accepted]):
        curves = ((name, schedule.curves[name]) for name in row.values)
        if all(
            np.allclose(curve.values(steps).numpy(), _stretch(row, name, curve, steps))
            for name, curve in curves
        ):
            return row
    return None


def _size(panels: int) -> tuple[float, float]:
    columns = 2 if panels in (2, 4) else min(panels, 3)
    return 4.6 * columns, 2.75 * math.ceil(panels / columns) + 0.45


def _panels(figure: Figure, panels: int) -> list[Axes]:
    columns = 2 if panels in (2, 4) else min(panels, 3)
    rows = math.ceil(panels / columns)
    return [figure.add_subplot(rows, columns, 1 + place) for place in range(panels)]


def step_colour(place: int, count: int) -> str:
    return to_hex(OUTER_STEPS(place / max(count - 1, 1)))


def _stretch(row: OuterStep, name: str, curve: Curve, steps: int) -> np.ndarray:
    """Values over a run of coefficients whose number may have grown since (coarse to fine)."""
    return as_row(curve, row.values[name], row.edges.get(name)).values(steps).numpy()


def draw_schedule(
    axis: Axes, name: str, curve: Curve, history: Sequence[OuterStep], steps: int
) -> None:
    returned, smooth = curve.values(steps).numpy(), isinstance(curve.basis, Linear)
    earlier = [
        (place, _stretch(row, name, curve, steps))
        for place, row in enumerate(history)
        if row.accepted and row.values.get(name)
    ]
    for place, values in earlier:
        _trace(axis, values, smooth, color=step_colour(place, len(history)), linewidth=1.5)
    # A white edge keeps the returned line legible where it covers its predecessors.
    _trace(axis, returned, smooth, color=PAPER, linewidth=5.0)
    _trace(axis, returned, smooth, color=RETURNED, linewidth=2.6)
    scale(axis, np.concatenate([returned, *(values for _, values in earlier)]))
    _label(axis, _knots(curve, steps) if smooth else _levels(returned), returned, smooth)
    axis.set_xlim(0, steps)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    dress(axis, name.replace("_", " "), "training step")


def _trace(axis: Axes, values: np.ndarray, smooth: bool, **style: Any) -> None:
    """One value per step: as a line, or as the stairs that windows are."""
    if smooth:
        axis.plot(np.arange(len(values)) + 0.5, values, **style)
    else:
        axis.stairs(values, np.arange(len(values) + 1), baseline=None, **style)


def _levels(values: np.ndarray) -> list[tuple[int, float]]:
    """(a step, the middle of where its value holds) for each window."""
    starts = np.flatnonzero(np.diff(values, prepend=np.nan))
    stops = [*starts[1:], len(values)]
    return [(int(a), (a + b) / 2) for a, b in zip(starts, stops, strict=True)]


def _knots(curve: Curve, steps: int) -> list[tuple[int, float]]:
    """(step, the middle of it) for each knot."""
    assert isinstance(curve.basis, Linear)
    return [(step, step + 0.5) for step in curve.basis.positions(steps).tolist()]


def _label(
    axis: Axes, places: Sequence[tuple[int, float]], values: np.ndarray, smooth: bool
) -> None:
    """Write the value at each of a few places beside the line."""
    if len(places) > MOST_LABELS:
        return
    for step, middle in places:
        first, last = middle < 1 < len(values), middle > len(values) - 1 > 0
        falls = smooth and not first and values[step] < values[step - 1]
        # Where a line falls, there is room above it on the right, or at its end below it.
        side = "right" if last else "left" if first or falls else "center"
        below = last and falls
        axis.annotate(
            number(values[step]), (middle, values[step]), xytext=(0, -5 if below else 5),
            textcoords="offset points", ha=side, va="top" if below else "bottom", color=RETURNED,
            fontsize=10, fontweight="bold", path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
        )  # fmt: skip


def number(value: float, digits: int = 2) -> str:
    """Short, and exact enough to type again: 0.067, 5e-4, 0."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").removesuffix(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def scale(axis: Axes, values: np.ndarray) -> None:
    """Logarithmic for positive values of several magnitudes; from zero upwards otherwise."""
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > LOG_RATIO:
        axis.set_yscale("log")
        axis.set_ylim(low / 1.5, high * 1.5)
        # One decade or two hold too few powers of ten to read a value from: label 2 and 5 as well.
        subs = (1.0,) if high / low > 300 else (1.0, 2.0, 5.0)
        axis.yaxis.set_major_locator(LogLocator(subs=subs))
        axis.yaxis.set_minor_formatter(NullFormatter())
    elif low >= 0:
        axis.set_ylim(0, high * 1.12 or 1.0)


def draw_losses(axis: Axes, history: Sequence[OuterStep], best: OuterStep | None) -> None:
    rows = [row for row in history if math.isfinite(row.validation_loss)]
    place = {id(row): number for number, row in enumerate(history)}
    kept = [row for row in rows if row.accepted]
    axis.plot(*_points(kept), color=FAINT, linewidth=1.2, zorder=1)
    for row in rows:
        colour = step_colour(place[id(row)], len(history))
        face = colour if row.accepted else PAPER
        axis.plot(
            row.index, row.validation_loss, "o", markersize=8, markerfacecolor=face,
            markeredgecolor=colour if row.accepted else FAINT, zorder=2,
        )  # fmt: skip
    if best is not None:
        _mark_best(axis, best)
    axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axis.margins(x=0.06, y=0.12)
    _scale_loss(axis, [row.validation_loss for row in rows])
    dress(axis, "validation loss", "outer step")


def _points(rows: Iterable[OuterStep]) -> tuple[list[int], list[float]]:
    rows = list(rows)
    return [row.index for row in rows], [row.validation_loss for row in rows]


def _scale_loss(axis: Axes, losses: Sequence[float]) -> None:
    if losses and min(losses) > 0 and max(losses) / min(losses) > LOG_RATIO:
        scale(axis, np.asarray(losses))


def _mark_best(axis: Axes, best: OuterStep) -> None:
    axis.plot(
        best.index, best.validation_loss, "o", markersize=11, color=RETURNED,
        markeredgecolor=PAPER, markeredgewidth=1.5, zorder=3,
    )  # fmt: skip
    axis.annotate(
        number(best.validation_loss, digits=3), (best.index, best.validation_loss), xytext=(0, 11),
        textcoords="offset points", ha="center", color=RETURNED, fontsize=10, fontweight="bold",
    )  # fmt: skip


def draw_key(figure: Figure, history: Sequence[OuterStep], what: str = "returned schedule") -> None:
    """Say above the panels what light, dark and hollow mean."""
    key = [
        Line2D([], [], color=step_colour(place, 5), linewidth=3, solid_capstyle="butt")
        for place in range(5)
    ]
    returned = Line2D([], [], color=RETURNED, linewidth=3)
    handles, labels = [tuple(key), returned], ["outer steps, first to last", what]
    if not all(row.accepted for row in history):
        hollow = {"markerfacecolor": PAPER, "markeredgecolor": FAINT, "markersize": 7}
        handles.append(Line2D([], [], marker="o", linestyle="none", **hollow))
        labels.append("no improvement")
    figure.legend(
        handles, labels, loc="outside upper left", ncols=3, frameon=False, fontsize=10,
        labelcolor=FAINT, handlelength=3.2, columnspacing=2.2, borderpad=0.2,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
    )  # fmt: skip


def dress(axis: Axes, title: str, below: str) -> None:
    axis.set_title(
        title, loc="left", color=INK, fontsize=12, fontweight="bold", pad=9, parse_math=False
    )
    axis.set_xlabel(below, color=FAINT, fontsize=10)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, digits=3)))
    axis.tick_params(colors=FAINT, labelsize=9.5, length=0, which="both")
    axis.grid(axis="y", color="#e7eaee", linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color("#c6ccd4")
