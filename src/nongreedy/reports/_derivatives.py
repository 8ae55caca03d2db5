"""Figures of the hypergradients over training, one outer step at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from . import _colours as colours
from ._figure import number
from ._page_parts.plot import Plot, axes, count, title
from ._record import Record, Step
from ._series import SHOWN, band, evenly


def hypergradients(record: Record) -> list[Plot]:
    """The per-step derivative of each hyperparameter, mean and band over seeds; one step at a time."""
    swept = [step for step in record.steps if any(sweep.per_step for sweep in step.sweeps)]
    swept = [swept[index] for index in evenly(len(swept), SHOWN)] if swept else []
    found = [_derivative(record, swept, name, place) for place, name in enumerate(record.curves)]
    return [plot for plot in found if plot is not None]


def _derivative(record: Record, swept: Sequence[Step], name: str, place: int) -> Plot | None:
    figure, choices, last, drawn = go.Figure(), {}, "", 0
    for step in swept:
        known = [sweep.per_step[name] for sweep in step.sweeps if name in sweep.per_step]
        if not known:
            continue
        places, (mean, deviation) = known[0][0], band([values for _, values in known])
        seeds = count(known, "seed")
        label, begun = f"outer step {step.row.index}, {seeds}", drawn
        if deviation is not None:
            _band(figure, places, mean - deviation, mean + deviation)
            drawn += 2
        figure.add_scatter(
            x=places, y=mean.astype(np.float32), mode="lines", name="mean over seeds",
            line={"color": colours.RUNS, "width": 1.6},
            hovertemplate="%{y:.3g} at step %{x:.0f}<extra></extra>",
        )  # fmt: skip
        drawn += 1
        choices[label] = list(range(begun, drawn))
        last = f"{number(mean.min())} to {number(mean.max())} in {label}"
    if not choices:
        return None
    shown = set(list(choices.values())[-1])
    for index, trace in enumerate(figure.data):
        trace.visible = index in shown  # pyright: ignore[reportAttributeAccessIssue]
    axes(figure, "training step", title(f"loss per unit of {name}"), None)
    figure.update_xaxes(range=[0, record.horizon])
    figure.update_yaxes(zeroline=True)
    figure.update_layout(showlegend=False)
    caption = (
        f"Hypergradient of {name.replace('_', ' ')}: what one unit more at a single training step "
        f"adds to the final validation loss; below zero, more would help. Mean {last}."
    )
    return Plot(f"hypergradient-{place}", name, caption, figure, choices)


def _band(figure: go.Figure, places: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """Between two lines that are not drawn."""
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    figure.add_scatter(x=places, y=low.astype(np.float32), **edge)
    figure.add_scatter(
        x=places, y=high.astype(np.float32), fill="tonexty", fillcolor=colours.BAND, **edge
    )
