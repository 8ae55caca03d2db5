"""What is known of costs, as Markdown."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import nongreedy as ng

from ._peer_cells import PLAIN, Cell
from ._peer_list import ON_SGD
from ._peer_study import AXES

Row = Mapping[str, Any]
Rows = Mapping[tuple[str, int], Row]  # (method, place on the axis) -> row

LEGEND = (
    "≈: not run, but on the line through two shorter runs; ‡: more than this machine's memory; "
    "NaN: not all of the result is a number; stopped: the engine refused to go on, as the run is chaotic "
    "and its hypergradient of rounding errors; –: not measured."
)
_FAR = 10_000_000  # steps; what grows so slowly is not worth a number

# Of the columns: what stands above their names, and each of them.
_COLUMNS = {"horizon": ("", "T = {:,}"), "count": ("hyperparameters:", "{:,}")}


def selected(known: Mapping[str, Row], like: Cell, what: str) -> Rows:
    """The rows of one study of one network: of memory or of time."""
    axis, found = AXES[like.study], {}
    for row in known.values():
        cell = Cell(**row["cell"])
        place = getattr(cell, axis)
        if (
            row["what"] == what
            and dataclasses.replace(like, method=cell.method, **{axis: place}) == cell
        ):
            found[cell.method, place] = row
    return found


def title_of(method: str, study: str) -> str:
    """A method's, with what it leaves out."""
    if method == PLAIN:
        return "plain torch.optim run"
    entry = ON_SGD[method]
    names = [] if study == "count" else list(ng.SGD().learnable)
    left_out = [name for name in names if entry.method.cannot(ng.SGD(), name)]
    return entry.title + "".join(f", without {name}" for name in left_out)


def tables(known: Mapping[str, Row], like: Cell) -> Iterator[str]:
    """Three tables: time if it was taken, peak memory, and what the peak adds to the process before it."""
    time, memory = (selected(known, like, what) for what in ("time", "memory"))
    settings = f"{like.model}, batches of {like.batch_size}, learning rate {like.rate:g}"
    settings += (
        f", {like.steps:,} steps" if like.study == "count" else f", {like.count} hyperparameters"
    )

    def peak(row: Row, place: int) -> str:
        unit = memory.get((PLAIN, place), {}).get("peak")
        ratio = f" ({row['peak'] / unit:.3g}×)" if unit else ""
        return f"{row['peak']:,.0f}{ratio}" + ("‡" if row["peak"] > row["machine"] else "")

    def growth(row: Row, place: int) -> str:
        del place
        return f"{row['peak'] - row['before']:,.1f}"

    ratios = f"Time of one hypergradient, in plain runs (plain runs in seconds): {settings}"
    if time:
        yield from _table(ratios, time, like, _ratio)
    yield from _table(f"Peak memory, MiB, and in plain runs' peaks: {settings}", memory, like, peak)
    yield from _table(f"Peak above the start of the run, MiB: {settings}", memory, like, growth)
    if like.study == "horizon":
        yield from _ends(memory)
    yield LEGEND


def _ends(memory: Rows) -> Iterator[str]:
    """Where each method would pass the machine's memory, along a line through its last two runs."""
    yield (
        "Horizon at which the peak passes this machine's memory, along a line through the last two "
        "runs (checkpoints grow more slowly than a line):\n"
    )
    for method in (PLAIN, *ON_SGD):
        run = [(t, row) for (name, t), row in memory.items() if name == method and "peak" in row]
        run = sorted((t, row["peak"]) for t, row in run if "forecast" not in row)
        if len(run) >= 2:
            (t, peak), (last, last_peak) = run[-2:]
            left = next(iter(memory.values()))["machine"] - last_peak
            slope = (last_peak - peak) / (last - t)
            end = last + left / slope if slope > 0 else math.inf
            said = f"≈ {float(f'{end:.2g}'):,.0f}" if end < _FAR else f"beyond {_FAR:,}"
            yield f"* {title_of(method, 'horizon')}: {said}"
    yield ""


def _ratio(row: Row, place: int) -> str:
    del place
    plain = Cell(**row["cell"]).method == PLAIN
    return f"{row['seconds']:.3g} s" if plain or row["ratio"] is None else f"{row['ratio']:.3g}"


def _table(caption: str, rows: Rows, like: Cell, show: Callable[[Row, int], str]) -> Iterator[str]:
    places = sorted({place for _, place in rows})
    yield f"{caption}\n"
    corner, column = _COLUMNS[like.study]
    yield f"| {corner} | " + " | ".join(column.format(place) for place in places) + " |"
    yield "|---" * (1 + len(places)) + "|"
    for method in (PLAIN, *ON_SGD):
        if any(name == method for name, _ in rows):
            cells = [_shown(rows.get((method, place)), place, show) for place in places]
            yield f"| {title_of(method, like.study)} | " + " | ".join(cells) + " |"
    yield ""


def _shown(row: Row | None, place: int, show: Callable[[Row, int], str]) -> str:
    if row is None:
        return "–"
    if "failed" in row:
        return row["failed"]
    if row.get("stopped"):
        return "stopped"
    mark = "" if row.get("finite", True) else ", **NaN**"
    return ("≈ " if "forecast" in row else "") + show(row, place) + mark
