"""The page's figures."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import plotly.graph_objects as go

from . import _colours as colours
from ._cost import Cost
from ._figure import RETURNED, number
from ._page_parts.plot import Plot, axes, count, title
from ._record import Record, Step
from ._series import SHOWN, evenly, over_run


def schedules(record: Record) -> list[Plot]:
    """Each hyperparameter over training: every accepted step, and what was returned."""
    return [_schedule(record, name, place) for place, name in enumerate(record.curves)]


def _schedule(record: Record, name: str, place: int) -> Plot:
    figure, seen = go.Figure(), []
    kept = [step for step in record.steps if step.row.accepted]
    drawn = [kept[index] for index in evenly(len(kept), 4 * SHOWN)]
    for step in drawn:
        colour = colours.of_step(record.steps.index(step), len(record.steps))
        label = f"outer step {step.row.index}"
        seen.append(_curve(figure, step.schedule.curves[name], record.horizon, colour, 1.6, label))
    what = "returned" if record.status else "current"
    returned = record.schedule.curves[name]
    seen.append(_curve(figure, returned, record.horizon, RETURNED, 3.0, what))
    axes(figure, "training step", title(name), np.concatenate(seen), from_zero=True)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(range=[0, record.horizon])
    caption = (
        f"{name.replace('_', ' ')} at each step of training. The {what} schedule {_course(seen[-1])}. "
        "Light lines: the accepted outer steps."
    )
    return Plot(f"schedule-{place}", name, caption, figure, {})


def _course(values: np.ndarray) -> str:
    low, high = number(values.min()), number(values.max())
    if low == high:
        return f"holds {low} throughout"
    return f"begins at {number(values[0])}, ends at {number(values[-1])} and lies between {low} and {high}"


def _curve(
    figure: go.Figure, curve: Any, steps: int, colour: str, width: float, label: str
) -> np.ndarray:
    places, values, straight = over_run(curve, steps)
    figure.add_scatter(
        x=places, y=values, mode="lines", name=label,
        line={"color": colour, "width": width, "shape": "linear" if straight else "hv"},
        hovertemplate="%{y:.4g} at step %{x:.0f}<extra>" + label + "</extra>",
    )  # fmt: skip
    return values


def losses(record: Record) -> Plot:
    """Validation loss per outer step."""
    values = {step.row.index: step.row.validation_loss for step in record.steps}
    finite = np.array([step.row.validation_loss for step in record.steps if not step.diverged])
    caption = (
        "Validation loss of each outer step, on seeds of its own, so that it scatters: "
        f"{count(_accepted(record), 'step')} accepted, {count(_refused(record), 'step')} without "
        f"improvement, {count(_diverged(record), 'step')} diverged."
    )
    if record.status:
        caption += (
            f" Dashed: the returned schedule in the final comparison, {number(record.loss, 3)}."
        )
    figure = _per_step(record, values, finite, "validation loss")
    if record.status:
        figure.add_hline(y=record.loss, line={"color": RETURNED, "width": 1.4, "dash": "dash"})
    return Plot("losses", "Validation loss", caption, figure, {})


def accuracies(record: Record) -> Plot | None:
    """Validation accuracy per outer step, where it has a meaning."""
    known = {
        step.row.index: 100 * step.row.validation_accuracy
        for step in record.steps
        if step.row.validation_accuracy is not None
    }
    if not known:
        return None
    best = max(known.values())
    caption = (
        f"Validation accuracy of each outer step, on the same seeds as its loss: {best:.1f} % at the "
        "highest."
    )
    values = np.array(list(known.values()))
    figure = _per_step(record, known, values, "validation accuracy (%)", logarithmic=False)
    return Plot("accuracies", "Validation accuracy", caption, figure, {})


def _accepted(record: Record) -> list[Step]:
    return [step for step in record.steps if step.row.accepted and not step.diverged]


def _refused(record: Record) -> list[Step]:
    return [step for step in record.steps if not step.row.accepted and not step.diverged]


def _diverged(record: Record) -> list[Step]:
    return [step for step in record.steps if step.diverged]


def _per_step(
    record: Record,
    values: dict[int, float],
    finite: np.ndarray,
    below: str,
    logarithmic: bool = True,
) -> go.Figure:
    figure = go.Figure()
    groups = [
        ("accepted", _accepted(record), {"color": colours.RUNS, "size": 9}, "lines+markers"),
        ("no improvement", _refused(record),
         {"color": colours.FAINT, "size": 9, "symbol": "circle-open", "line": {"width": 2}}, "markers"),
    ]  # fmt: skip
    for label, steps, marker, mode in groups:
        rows = [step.row for step in steps if step.row.index in values]
        if rows:
            figure.add_scatter(
                x=[row.index for row in rows], y=[values[row.index] for row in rows], name=label,
                mode=mode, marker=marker, line={"color": colours.FAINT, "width": 1.2},
                text=[html.escape(row.note) for row in rows],
                hovertemplate="%{y:.4g} at outer step %{x}<br>%{text}<extra>" + label + "</extra>",
            )  # fmt: skip
    gone = [step.row for step in _diverged(record)]
    if gone:  # they have no value: at the upper edge, on an axis of its own
        figure.add_scatter(
            x=[row.index for row in gone], y=[0.96] * len(gone), yaxis="y2", name="diverged",
            mode="markers", marker={"color": colours.BAD, "size": 10, "symbol": "x"},
            text=[html.escape(row.note) for row in gone],
            hovertemplate="outer step %{x}<br>%{text}<extra>diverged</extra>",
        )  # fmt: skip
        figure.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False})
    axes(figure, "outer step", below, finite, logarithmic=logarithmic)
    _whole(figure, record)
    figure.update_layout(showlegend=True)
    return figure


def _whole(figure: go.Figure, record: Record) -> None:
    """A horizontal axis of outer steps, which are whole numbers."""
    last = record.rows[-1].index
    figure.update_xaxes(range=[-0.6, last + 0.6], tickformat="d")
    if last < 12:
        figure.update_xaxes(dtick=1)


def training(record: Record) -> Plot | None:
    """Training curves, one of each outer step."""
    known = [step for step in record.steps if step.curve]
    if not known:
        return None
    figure, seen = go.Figure(), []
    for step in (known[index] for index in evenly(len(known), 2 * SHOWN)):
        places, values = np.array(list(step.curve)), np.array(list(step.curve.values()))
        colour = colours.of_step(record.steps.index(step), len(record.steps))
        figure.add_scatter(
            x=places, y=values, mode="lines", name=f"outer step {step.row.index}",
            line={"color": colour, "width": 1.5},
            hovertemplate="%{y:.4g} at step %{x}<extra>outer step " + f"{step.row.index}</extra>",
        )  # fmt: skip
        seen.append(values)
    axes(figure, "training step", "training loss of the batch", np.concatenate(seen))
    figure.update_xaxes(range=[0, record.horizon])
    figure.update_layout(showlegend=False)
    caption = (
        f"Training loss of one run of each outer step, light for the first. The last one shown ends "
        f"at {number(seen[-1][-1], 3)}, the first at {number(seen[0][-1], 3)}."
    )
    return Plot("training", "Training curves", caption, figure, {})


def cost(record: Record, costs: Cost) -> Plot:
    """What each outer step cost."""
    figure = go.Figure()
    x = [step.row.index for step in record.steps]
    for label, values, colour in costs.stacks():
        figure.add_bar(
            x=x, y=values, name=label, marker={"color": colour},
            hovertemplate="%{y:.2f} plain runs at outer step %{x}<extra>" + label + "</extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", showlegend=True, bargap=0.35)
    axes(figure, "outer step", "cost (plain training runs)", None)
    _whole(figure, record)
    figure.update_yaxes(rangemode="tozero")
    caption = f"In plain training runs; {number(sum(costs.each), 3)} for all outer steps together."
    return Plot("cost", "Cost of each outer step", caption, figure, {})
