"""Who is best: names from bad to good, every score, and the mean with its standard error."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from .._figure import FAINT, RETURNED
from .plot import Plot, axes


@dataclass(frozen=True)
class Place:
    """One name, its scores, and their mean with its standard error (nan where there is none)."""

    name: str
    scores: Sequence[float]
    mean: float
    standard_error: float


def ranking(places: Sequence[Place], measure: str, what: str, one: str, caption: str) -> Plot:
    """Best first at the top; of an accuracy the scores are percent.

    Args:
        places: Best first; one whose mean is not finite has no place in the figure.
        measure: What is scored, such as ``test_accuracy``.
        what: What the names are of.
        one: What a single score is of.
    """
    places = [place for place in reversed(places) if math.isfinite(place.mean)]
    names = [html.escape(place.name) for place in places]
    figure = go.Figure()
    figure.add_scatter(
        x=[score for place in places for score in place.scores],
        y=[name for name, place in zip(names, places, strict=True) for _ in place.scores],
        mode="markers", name=one, marker={"color": FAINT, "size": 6, "opacity": 0.55},
        hovertemplate="%{x:.4g}<extra>%{y}</extra>",
    )  # fmt: skip
    errors = [0 if math.isnan(p.standard_error) else p.standard_error for p in places]
    figure.add_scatter(
        x=[place.mean for place in places], y=names, mode="markers", name="mean ± standard error",
        marker={"color": RETURNED, "size": 9},
        error_x={"array": errors, "color": RETURNED, "thickness": 1.6},
        hovertemplate="%{x:.4g}<extra>%{y}</extra>",
    )  # fmt: skip
    unit = measure.replace("_", " ") + (" (%)" if measure.endswith("accuracy") else "")
    axes(figure, unit, what, None)
    figure.update_yaxes(tickformat=None, type="category", dtick=1)
    figure.update_layout(showlegend=True)
    return Plot("ranking", unit.capitalize(), caption, figure, tall=len(places) > 6)
