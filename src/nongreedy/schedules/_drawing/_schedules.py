"""Schedules over training: every accepted outer step, light to strong, and what was returned."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from .._basis import Linear, TimeBasis
from .._curve import Curve, as_row
from .._words import alike, number, spaced
from ._chart import Axis, Chart, Line, Mark, Text
from ._palette import RETURNED, of_step
from ._series import SHOWN, evenly, over_run


class Row(Protocol):
    """Of a search's history, as far as curves need it."""

    @property
    def index(self) -> int: ...
    @property
    def accepted(self) -> bool: ...
    @property
    def values(self) -> Mapping[str, Sequence[float]]: ...
    @property
    def edges(self) -> Mapping[str, Sequence[float]]: ...


R = TypeVar("R", bound=Row)
FINE = 1000  # steps of a run whose length nobody told
_MOST_TEXTS = 8  # more windows than this: their values are read from the axis


def schedules(
    curves: Mapping[str, Curve], names: Sequence[str], history: Sequence[Row], steps: int, what: str
) -> list[Chart]:
    """A chart for each of these names that may change over a run.

    Args:
        history: Rows of the search, lighter the earlier they are.
        steps: Length of a training run.
        what: The schedule is, such as "returned".
    """
    over_time = [name for name in names if isinstance(curves[name].basis, TimeBasis)]
    return [
        _chart(f"schedule-{place}", name, curves[name], history, steps, what)
        for place, name in enumerate(over_time)
    ]


def drawn(
    curves: Mapping[str, Curve],
    total_steps: int | None,
    history: Sequence[Row] = (),
    what: str = "drawn",
) -> list[Chart]:
    """Charts of all that may change over a run; of one whose length is not known, over percent of it."""
    steps = total_steps or FINE
    charts = schedules(curves, list(curves), history, steps, what)
    return charts if total_steps else [_in_percent(chart, steps) for chart in charts]


def together(rows: Sequence[Mapping[str, Curve]], total_steps: int | None) -> list[Chart]:
    """Charts of several schedules of the same hyperparameters, a line for each."""
    charts = dict[str, Chart]()
    for curves in rows:
        for chart in drawn(curves, total_steps):
            lines = [replace(m, width=1.4) for m in chart.marks if isinstance(m, Line)]
            lines = [*(charts[chart.title].marks if chart.title in charts else []), *lines]
            values = np.concatenate([np.asarray(line.y) for line in lines])
            y = Axis.of(chart.title, values, from_zero=True)
            charts[chart.title] = replace(chart, marks=lines, y=y)
    return [*charts.values()]


def _in_percent(chart: Chart, steps: int) -> Chart:
    marks = list[Mark]()
    for mark in chart.marks:
        if isinstance(mark, (Line, Text)):
            mark = replace(mark, x=np.asarray(mark.x) * 100 / steps)
        marks.append(mark)
    return replace(chart, x=Axis("part of the run (%)", (0, 100)), marks=marks)


def origin(curves: Mapping[str, Curve], history: Sequence[R], steps: int) -> R | None:
    """The last accepted row whose values over a run are those of the schedule, or None."""

    def same(row: Row, name: str) -> bool:
        then, now = _earlier(row, name, curves[name]), curves[name]
        return np.allclose(then.values(steps).numpy(), now.values(steps).numpy())

    accepted = (row for row in reversed(history) if row.accepted)
    return next((row for row in accepted if all(same(row, name) for name in row.values)), None)


def _earlier(row: Row, name: str, curve: Curve) -> Curve:
    """Of coefficients whose number may have grown since (coarse to fine)."""
    return as_row(curve, row.values[name], row.edges.get(name))


def _chart(
    key: str, name: str, curve: Curve, history: Sequence[Row], steps: int, what: str
) -> Chart:
    accepted = [(k, row) for k, row in enumerate(history) if row.accepted and row.values.get(name)]
    lines = [
        _line(_earlier(row, name, curve), steps, of_step(place, len(history)), f"outer step {row.index}")
        for place, row in evenly(accepted, 4 * SHOWN)
    ]  # fmt: skip
    lines.append(_line(curve, steps, RETURNED, what, width=2.8, edged=True))
    caption = (
        f"{spaced(name)} at each step of training. The {what} schedule {_course(lines[-1].y)}. "
    )
    if history:
        caption += "Light lines: the accepted outer steps."
    y = Axis.of(spaced(name), np.concatenate([line.y for line in lines]), from_zero=True)
    x, marks = Axis("training step", (0, steps)), [*lines, *_texts(curve, steps)]
    return Chart(key, spaced(name), caption, x, y, marks)


def _line(
    curve: Curve, steps: int, colour: str, label: str, width: float = 1.5, edged: bool = False
) -> Line:
    places, values, straight = over_run(curve, steps)
    return Line(places, values, colour, width, label, stairs=not straight, edged=edged)


def _course(values: np.ndarray) -> str:
    low, high = number(values.min()), number(values.max())
    if low == high:
        return f"holds {low} throughout"
    return f"begins at {number(values[0])}, ends at {number(values[-1])} and lies between {low} and {high}"


def _texts(curve: Curve, steps: int) -> list[Text]:
    """The value of each window or knot, where they are few."""
    values, smooth = curve.values(steps).numpy(), isinstance(curve.basis, Linear)
    if isinstance(curve.basis, Linear):
        places = [(step, step + 0.5) for step in curve.basis.positions(steps).tolist()]
    else:
        starts = np.flatnonzero(np.diff(values, prepend=np.nan)).tolist()
        stops = [*starts[1:], steps]
        places = [(a, (a + b) / 2) for a, b in zip(starts, stops, strict=True)]
    if len(places) > _MOST_TEXTS:
        return []
    texts, told = [], alike((float(values[step]) for step, _ in places), 2)
    for (step, middle), words in zip(places, told, strict=True):
        first, last = middle < 1 < steps, middle > steps - 1 > 0
        falls = smooth and not first and values[step] < values[step - 1]
        # Where a line falls, there is room above it on the right, or at its end below it.
        side = "right" if last else "left" if first or falls else "center"
        gap = -5 if last and falls else 5
        texts.append(Text(middle, values[step], words, RETURNED, side, gap=gap))
    return texts
