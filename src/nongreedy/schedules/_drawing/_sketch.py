"""Charts as small SVG pictures, in the ink of the page around them: no script, and nothing to import."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

import numpy as np

from .._words import alike, number
from ._chart import Axis, Chart, Line, Mark, Points
from ._palette import FAINT, RETURNED

_WIDTH, _HEIGHT = 270, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 24, 22
DASHES = {"solid": "", "dot": "2 3", "dash": "7 4", "dashdot": "8 3 2 3"}
_BLOCKS = "▁▂▃▄▅▆▇█"
Scale = Callable[[float], float]


def sketches(charts: Sequence[Chart]) -> str:
    """Side by side, and below each other where there is no room."""
    pictures = "".join(map(sketch, charts))
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 14px">{pictures}</div>'


def sketch(chart: Chart) -> str:
    """One chart as an SVG element; what it shows is its label for those who cannot see it."""
    x, along = _scale(chart.x, _LEFT, _WIDTH - _RIGHT, _values(chart, "x"))
    up, ticks = _scale(chart.y, _HEIGHT - _BOTTOM, _TOP, _values(chart, "y"))
    words = [_text(0, 13, chart.title, "font-weight:600;font-size:12px")]
    for value, told in zip(ticks, alike(ticks), strict=True):
        at = up(value)
        words.append(_text(_LEFT - 5, at + 3.5, told, "text-anchor:end"))
        words.append(
            f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="currentColor" opacity=".13"/>'
        )
    ends = [along[0], along[-1]] if len(along) > 1 else along
    for value, anchor in zip(ends, ("start", "end"), strict=False):
        words.append(_text(x(value), _HEIGHT - 9, number(value, 4), f"text-anchor:{anchor}"))
    words.append(_text((_LEFT + _WIDTH) / 2, _HEIGHT - 9, chart.x.label, "text-anchor:middle"))
    marks = "".join(_mark(mark, x, up) for mark in chart.marks)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{html.escape(chart.caption)}" '
        'style="font:10.5px system-ui,sans-serif;max-width:100%;overflow:hidden">'
        f"{''.join(words)}{marks}</svg>"
    )


def sparkline(values: Sequence[float] | np.ndarray, width: int) -> str:
    """So many values as blocks of characters, on a logarithmic scale where a chart has one.

    Example:
        >>> sparkline([0.0, 0.5, 1.0], 6)
        '▁▁▅▅██'
    """
    places = (np.arange(width) + 0.5) * len(values) / width
    row = np.asarray(values, float)[places.astype(int)]
    if Axis.of("", row, from_zero=True).logarithmic:
        row = np.log(row)
    low, high = float(row.min()), float(row.max())
    if not high - low > 1e-6 * abs(high):  # rounding is no shape
        return _BLOCKS[3] * width
    shares = (row - low) / (high - low)
    return "".join(_BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)] for share in shares)


def _values(chart: Chart, which: str) -> np.ndarray:
    """All finite ones of a direction."""
    rows = [
        np.asarray(getattr(mark, which), float)
        for mark in chart.marks
        if isinstance(mark, Line) or (isinstance(mark, Points) and not (mark.edge and which == "y"))
    ]
    values = np.concatenate(rows) if rows else np.zeros(1)
    return values[np.isfinite(values)]


def _scale(axis: Axis, first: float, last: float, values: np.ndarray) -> tuple[Scale, list[float]]:
    """From a value to its place, and values to be named."""
    if axis.range is not None:
        low, high = axis.range
    else:
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        room = 0.1 * (high - low) or 0.1 * abs(high) or 1.0
        low, high = low - room, high + room
    if axis.logarithmic:
        a, b = math.log(low), math.log(high)
        ticks = axis.ticks()[0]
        kept = ticks[:: max(1, len(ticks) // 4)]
        return lambda v: first + (last - first) * (math.log(v) - a) / (b - a), kept
    ticks = [*map(float, _round_places(low, high, whole=axis.whole))]
    return lambda v: first + (last - first) * (v - low) / (high - low), ticks


def _round_places(low: float, high: float, whole: bool) -> np.ndarray:
    """Multiples of 1, 2 or 5 times a power of ten, three to five of them; both ends of a run's axis."""
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= raw)
    step = max(step, 1.0) if whole else step
    return np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1) * step


def _text(x: float, y: float, words: str, style: str) -> str:
    opacity = "" if "600" in style else ' opacity=".75"'
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="currentColor"{opacity} style="{style}">'
        f"{html.escape(words)}</text>"
    )


def _ink(colour: str) -> str:
    """What is dark on paper is the ink of the page, which may be a dark one."""
    return "currentColor" if colour in (RETURNED, FAINT) else colour


def _mark(mark: Mark, x: Scale, up: Scale) -> str:
    if isinstance(mark, Line):
        return _line(mark, x, up)
    if isinstance(mark, Points):
        return _points(mark, x, up)
    return ""


def _line(mark: Line, x: Scale, up: Scale) -> str:
    places = [(x(float(a)), up(float(b))) for a, b in zip(mark.x, mark.y, strict=True)]
    if not places:
        return ""
    path = [f"M{places[0][0]:.1f} {places[0][1]:.1f}"]
    for a, b in places[1:]:
        path.append(f"H{a:.1f}V{b:.1f}" if mark.stairs else f"L{a:.1f} {b:.1f}")
    dash = f' stroke-dasharray="{DASHES[mark.dash]}"' if mark.dash != "solid" else ""
    return (
        f'<path d="{"".join(path)}" fill="none" stroke="{_ink(mark.colour)}" '
        f'stroke-width="{mark.width}"{dash}/>'
    )


def _points(mark: Points, x: Scale, up: Scale) -> str:
    top, bottom, drawn = _TOP, _HEIGHT - _BOTTOM, []
    colours = [mark.colour] * len(mark.x) if isinstance(mark.colour, str) else mark.colour
    for a, b, colour in zip(mark.x, mark.y, colours, strict=True):
        at, height = x(float(a)), bottom + (top - bottom) * b if mark.edge else up(float(b))
        ink = _ink(colour)
        if mark.symbol == "cross":
            arm = f"M{at - 3:.1f} {height - 3:.1f}l6 6m0 -6l-6 6"
            drawn.append(f'<path d="{arm}" stroke="{ink}" stroke-width="1.6"/>')
            continue
        fill = "none" if mark.symbol == "ring" else ink
        drawn.append(
            f'<circle cx="{at:.1f}" cy="{height:.1f}" r="{mark.size / 2.6:.1f}" fill="{fill}" '
            f'stroke="{ink}"/>'
        )
    return "".join(drawn)
