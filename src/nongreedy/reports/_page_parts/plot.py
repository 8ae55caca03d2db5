"""One figure of the page, and what all of them share: axes, titles, counts in words."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import plotly.graph_objects as go

from .scale import is_logarithmic, ticks


@dataclass(frozen=True)
class Plot:
    """One figure.

    Attributes:
        key: Its id in the page.
        caption: What it shows, in words.
        choices: Label -> indices of the traces that are seen when it is chosen; empty: all are.
        tall: Whether it needs more height than others.
    """

    key: str
    title: str
    caption: str
    figure: go.Figure
    choices: dict[str, list[int]] = field(default_factory=dict)
    tall: bool = False

    def to_json(self) -> dict[str, Any]:
        """What the page's script draws."""
        content = self.figure.to_plotly_json()
        return {"data": content["data"], "layout": content["layout"]}


def title(name: str) -> str:
    """A name for people, in lines that fit beside a figure; Plotly reads tags and entities."""
    return "<br>".join(html.escape(line) for line in textwrap.wrap(name.replace("_", " "), 32))


def axes(
    figure: go.Figure,
    below: str,
    beside: str,
    values: np.ndarray | None,
    from_zero: bool = False,
    logarithmic: bool = True,
) -> None:
    """Titles below and beside, and a logarithmic axis where the values span much."""
    figure.update_xaxes(title_text=below)
    figure.update_yaxes(title_text=beside, tickformat="~g")
    if values is None or not len(values):
        return
    if logarithmic and is_logarithmic(values):
        places, texts = ticks(values)
        low, high = np.log10(values.min() / 1.4), np.log10(values.max() * 1.4)
        figure.update_yaxes(type="log", range=[low, high], tickvals=places, ticktext=texts)
    elif from_zero and values.min() >= 0:
        figure.update_yaxes(range=[0, float(values.max()) * 1.12 or 1.0])


def count(things: Sequence[Any], noun: str) -> str:
    """``2 seeds``."""
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"
