"""What loss is reached for how many plain runs; how many more another search needs for it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ._rows import Row
from ._table import lines

OURS = "ours-"


@dataclass(frozen=True)
class Point:
    """Searches of one method and budget.

    Attributes:
        cost: Plain runs' worth of gradients that they spent, on average.
        loss: Of what they returned: mean over searches of the means over fresh trainings.
        error: Its standard error over searches; NaN of a single one.
        wrong: Share of images that are not fitted, likewise.
        searches: Their number.
    """

    budget: float
    cost: float
    loss: float
    error: float
    wrong: float
    searches: int


Curve = Sequence[Point]  # by rising budget


def curves(rows: Iterable[Row]) -> dict[str, list[Point]]:
    """By method, in the order of the rows."""
    grouped = dict[str, dict[float, list[Row]]]()
    for row in rows:
        grouped.setdefault(row["method"], {}).setdefault(row["budget"], []).append(row)
    return {m: [_point(b, found[b]) for b in sorted(found)] for m, found in grouped.items()}


def _point(budget: float, rows: Sequence[Row]) -> Point:
    losses = [statistics.fmean(row["losses"]) for row in rows]
    error = math.nan
    if len(losses) > 1 and all(map(math.isfinite, losses)):
        error = statistics.stdev(losses) / math.sqrt(len(losses))
    wrong = statistics.fmean(statistics.fmean(row["errors"]) for row in rows)
    cost = statistics.fmean(row["cost"] for row in rows)
    return Point(budget, cost, statistics.fmean(losses), error, wrong, len(rows))


def needed(curve: Curve, loss: float) -> float | None:
    """Plain runs after which a curve first is at this loss or below; None where it never is.

    Budgets are a grid: it may have been there before. And it may be above it again later, by the luck
    of a search; to both sides it counts all the same.
    """
    return next((point.cost for point in curve if point.loss <= loss), None)


def against(curve: Curve, other: Curve) -> str:
    """Runs that a search needs for the loss at the other one's end, and the ratio to what that spent."""
    spent, found = other[-1].cost, needed(curve, other[-1].loss)
    sign = "" if found is not None else "> "
    runs = curve[-1].cost if found is None else found
    return f"{sign}{runs:.0f}, {sign}{runs / spent:.2g} times"


def markdown(rows: Iterable[Row]) -> str:
    """Two tables: loss after so many runs, and what each method needs to be where the other ends."""
    known = curves(rows)
    budgets = sorted({point.budget for curve in known.values() for point in curve})
    counts = {point.searches for curve in known.values() for point in curve}
    number = " to ".join(str(n) for n in sorted({min(counts), max(counts)})) if counts else "no"
    words = (
        f"Loss of fresh trainings of what searches of so many plain runs return: mean ± standard error "
        f"over {number} searches.\nWhat the largest spent; the share of images that its schedule fits "
        f"wrongly.\n"
    )
    table = list[list[str]]()
    for method, curve in known.items():
        cells = {point.budget: _spread(point) for point in curve}
        ends = [f"{curve[-1].cost:.1f}", f"{100 * curve[-1].wrong:.1f} %"]
        table.append([method, *(cells.get(b, "") for b in budgets), *ends])
    told = [words, lines(["", *(f"{b:g}" for b in budgets), "spent", "error"], table)]
    others = [method for method in known if not method.startswith(OURS)]
    for name in (method for method in known if method.startswith(OURS)):
        head = [
            f"runs to the {known[name][-1].loss:.4f} of {name}, of what that spent",
            f"runs of {name} to its last loss, of what it spent",
        ]
        ratios = [
            [m, against(known[m], known[name]), against(known[name], known[m])] for m in others
        ]
        told += ["", lines(["", *head], ratios)]
    return "\n".join(told)


def _spread(point: Point) -> str:
    words = f"{point.loss:.4f}"
    return words if math.isnan(point.error) else f"{words} ± {point.error:.4f}"


def draw(rows: Iterable[Row], path: Path) -> None:
    """Loss against plain runs spent; the suffix chooses the format."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    from nongreedy.schedules._drawing._matplotlib import dress
    from nongreedy.schedules._drawing._palette import PAPER

    known = curves(rows)
    figure = Figure(figsize=(7.6, 4.6), facecolor=PAPER, layout="constrained")
    axis = figure.add_subplot()
    axis.set_xscale("log")
    axis.set_yscale("log")
    for method, curve in known.items():
        x, y = [p.cost for p in curve], [p.loss for p in curve]
        errors = [0.0 if math.isnan(p.error) else p.error for p in curve]
        width = 2.4 if method.startswith(OURS) else 1.2
        axis.errorbar(x, y, errors, label=method, linewidth=width, marker="o", markersize=3.5)
    dress(axis, "loss of fresh trainings", "plain runs spent")
    axis.set_xticks(sorted({p.budget for curve in known.values() for p in curve}))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(lambda place, _: f"{place:g}")
    axis.yaxis.set_minor_formatter(lambda loss, _: f"{loss:.2g}")
    axis.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=200)
