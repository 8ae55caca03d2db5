"""The main figures of a report as one image for papers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import _colours as colours
from . import _figure
from ._cost import Cost
from ._figure import PAPER
from ._record import Record
from ._series import band

_COLUMNS = 3

Panel = Callable[[Axes], None]


def paper(record: Record) -> Figure:
    """Schedules, validation loss, training curves, hypergradients and cost, a panel each."""
    panels = [*_schedules(record), _losses(record), *_training(record)]
    panels += [*_derivatives(record), _cost(record)]
    rows = math.ceil(len(panels) / _COLUMNS)
    columns = min(len(panels), _COLUMNS)
    figure = Figure(
        figsize=(4.4 * columns, 2.75 * rows + 0.45), facecolor=PAPER, layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.14, h_pad=0.10, wspace=0.03, hspace=0.04)  # pyright: ignore
    for place, panel in enumerate(panels):
        panel(figure.add_subplot(rows, columns, 1 + place))
    what = "returned schedule" if record.status else "current schedule"
    _figure.draw_key(figure, [step.row for step in record.steps if not step.diverged], what)
    return figure


def _schedules(record: Record) -> list[Panel]:
    def panel(name: str) -> Panel:
        curve = record.schedule.curves[name]
        return lambda axis: _figure.draw_schedule(axis, name, curve, record.rows, record.horizon)

    return [panel(name) for name in record.curves]


def _losses(record: Record) -> Panel:
    origin = None
    if len(record.curves) == len(record.learned):
        origin = _figure.origin(record.schedule, record.rows, record.horizon)
    gone = [step.row.index for step in record.steps if step.diverged]

    def panel(axis: Axes) -> None:
        _figure.draw_losses(axis, record.rows, origin)
        axis.set_xlim(-0.5, record.rows[-1].index + 0.5)
        if gone:  # they have no value: at the upper edge
            edge = axis.get_xaxis_transform()
            axis.plot(gone, [0.95] * len(gone), "x", color=colours.BAD, transform=edge)
            axis.text(
                gone[-1], 0.87, "diverged", color=colours.BAD, fontsize=9, ha="right", va="top",
                transform=edge,
            )  # fmt: skip

    return panel


def _training(record: Record) -> list[Panel]:
    if not any(step.curve for step in record.steps):
        return []

    def panel(axis: Axes) -> None:
        seen = []
        for place, step in enumerate(record.steps):
            if step.curve:
                values = np.array(list(step.curve.values()))
                colour = _figure.step_colour(place, len(record.steps))
                axis.plot(list(step.curve), values, color=colour, linewidth=1.2)
                seen.append(values)
        _figure.scale(axis, np.concatenate(seen))
        axis.set_xlim(0, record.horizon)
        _figure.dress(axis, "training loss of the batch", "training step")

    return [panel]


def _derivatives(record: Record) -> list[Panel]:
    """Of the last outer step that has them."""

    def panel(name: str, places: np.ndarray, columns: list[np.ndarray], index: int) -> Panel:
        def draw(axis: Axes) -> None:
            mean, deviation = band(columns)
            if deviation is not None:
                axis.fill_between(
                    places, mean - deviation, mean + deviation, color=colours.RUNS, alpha=0.22, linewidth=0
                )  # fmt: skip
            axis.axhline(0, color="#b9c1cb", linewidth=0.8)
            axis.plot(places, mean, color=colours.RUNS, linewidth=1.2)
            axis.set_xlim(0, record.horizon)
            seeds = f"{len(columns)} seed{'s' if len(columns) > 1 else ''}"
            title = f"hypergradient: {name.replace('_', ' ')}"
            _figure.dress(axis, title, f"training step (outer step {index}, {seeds})")
            axis.set_ylabel("loss per unit", color=_figure.FAINT, fontsize=10)

        return draw

    found = []
    for step in reversed(record.steps):
        for name in record.curves:
            known = [sweep.per_step[name] for sweep in step.sweeps if name in sweep.per_step]
            if known:
                columns = [values for _, values in known]
                found.append(panel(name, known[0][0], columns, step.row.index))
        if found:
            break
    return found


def _cost(record: Record) -> Panel:
    def panel(axis: Axes) -> None:
        base = np.zeros(len(record.steps))
        places = [row.index for row in record.rows]
        for label, values, colour in Cost.of(record).stacks():
            axis.bar(places, values, bottom=base, color=colour, width=0.65, label=label)
            base = base + np.asarray(values)
        axis.set_ylim(0, max(float(base.max()), 1e-9) * 1.3)
        axis.xaxis.set_major_locator(_figure.MaxNLocator(8, integer=True))
        axis.legend(frameon=False, fontsize=9, labelcolor=_figure.FAINT, ncols=2, loc="upper left")
        _figure.dress(axis, "cost (plain training runs)", "outer step")

    return panel
