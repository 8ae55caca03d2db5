"""The studies of cost: which cells are measured, and what is extrapolated from them."""

from __future__ import annotations

import dataclasses
import functools
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any

import nongreedy as ng

from ._cost_turns import Timing, take_turns
from ._peer_cells import MIB, PLAIN, Cell, line, measured

PILOTS = (10, 100)  # horizons that say what a longer one will cost
AXES = {"horizon": "steps", "count": "count"}
DEAR = 8.0  # plain runs: what costs more takes one turn

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What is not run: more MiB at the peak, or more seconds for one hypergradient, than these."""

    memory: float
    seconds: float

    def exceeded(self, forecast: Row) -> list[str]:
        """By name."""
        over = {
            "memory": forecast["peak"] > self.memory,
            "seconds": forecast["seconds"] > self.seconds,
        }
        return [name for name, is_over in over.items() if is_over]


@dataclasses.dataclass(frozen=True)
class Costs:
    """All cells along one axis, each finished one a note of a study.

    Memory comes first, from a process for each cell, and with it a first time; from two such runs
    the next is forecast. Those that were run take turns to be timed; with no turns, nothing is.
    """

    study: ng.Study
    limits: Limits
    turns: int
    threads: int

    def go(self, cells: Sequence[Cell]) -> None:
        """Cells by rising values of the axis."""
        places = sorted({_place(cell) for cell in cells})
        for place in places:
            here = [cell for cell in cells if _place(cell) == place]
            rows = {cell: self.memory(cell) for cell in here}
            self.times([cell for cell, row in rows.items() if _was_run(row)])
            for cell in here if self.turns else ():
                if "forecast" in rows[cell]:
                    self._forecast_time(cell, rows[cell]["forecast"])

    # ---- Memory -----------------------------------------------------------------------------------------

    def memory(self, cell: Cell) -> Row:
        """The row of a cell: known, measured now, or forecast."""
        done = self._row(cell, "memory")
        if done is not None and "forecast" not in done:
            return done
        forecast = self._forecast(cell)
        over = self.limits.exceeded(forecast) if forecast else []
        found = {**forecast, "forecast": over} if over else measured(cell, self.threads)
        self._write(cell, "memory", found)
        return found

    def _forecast(self, cell: Cell) -> Row | None:
        """Along the axis of the study; where too little is known, from short runs."""
        known = self._known(cell, AXES[cell.study])
        if len(known) < 2 and cell.steps > PILOTS[-1]:
            for steps in PILOTS:
                self.memory(dataclasses.replace(cell, steps=steps))
            known = self._known(cell, "steps")
            axis = "steps"
        else:
            axis = AXES[cell.study]
        if len(known) < 2:
            return None
        at = _acting(cell, axis)
        return {
            name: line([(x, row[name]) for x, row in known.items()], at)
            for name in ("peak", "seconds", "before")
        }

    def _known(self, cell: Cell, axis: str) -> dict[int, Row]:
        """Rows of smaller cells along an axis: those that were run, if there are two of them."""
        found: dict[int, Row] = {}
        for row in self.rows.values():
            other = Cell(**row["cell"])
            same = dataclasses.replace(other, **{axis: getattr(cell, axis)}) == cell
            if row["what"] == "memory" and same and getattr(other, axis) < getattr(cell, axis):
                found[getattr(other, axis)] = row
        found = {p: row for p, row in found.items() if not ("failed" in row or row.get("stopped"))}
        run = {place: row for place, row in found.items() if "forecast" not in row}
        return run if len(run) >= 2 else found

    # ---- Time -------------------------------------------------------------------------------------------

    def times(self, cells: Sequence[Cell]) -> None:
        """Those that have not been timed take turns, a plain run before each of them."""
        due = [cell for cell in cells if not self._timed(cell)]
        if not due or not self.turns:
            return
        unit = dataclasses.replace(due[0], method=PLAIN)
        for cell in {unit, *due}:
            dataclasses.replace(cell, steps=4).body()()  # first calls load and allocate
        groups = [{cell: cell.body()} for cell in due if cell.method != PLAIN]
        base, found = take_turns(unit.body(), groups or [{}], self.turns, DEAR)
        for cell, timing in {unit: base, **found}.items():
            self._write(cell, "time", _record(timing))

    def _timed(self, cell: Cell) -> bool:
        row = self._row(cell, "time")
        return row is not None and "forecast" not in row

    def _forecast_time(self, cell: Cell, over: list[str]) -> None:
        """From the two last that were timed, or from first runs."""
        axis = AXES[cell.study]
        place = getattr(cell, axis)
        seconds = self._row(cell, "memory")["seconds"]
        known = [(p, row["seconds"]) for p, row in self._timings(cell, axis).items() if p < place]
        if len(known) >= 2:
            seconds = line(known, _acting(cell, axis))
        unit = self._row(dataclasses.replace(cell, method=PLAIN), "time")
        ratio = 1.0 if cell.method == PLAIN else seconds / unit["seconds"] if unit else None
        self._write(cell, "time", {"seconds": seconds, "ratio": ratio, "forecast": over})

    def _timings(self, cell: Cell, axis: str) -> dict[int, Row]:
        rows = [row for row in self.rows.values() if row["what"] == "time"]
        found = {Cell(**row["cell"]): row for row in rows if "forecast" not in row}
        return {
            getattr(other, axis): row
            for other, row in found.items()
            if dataclasses.replace(other, **{axis: getattr(cell, axis)}) == cell
        }

    # ---- The study --------------------------------------------------------------------------------------

    @functools.cached_property
    def rows(self) -> dict[str, Row]:
        """All that is known by now."""
        return self.study.notes()

    def _row(self, cell: Cell, what: str) -> Row | None:
        return self.rows.get(f"{cell.key}|{what}")

    def _write(self, cell: Cell, what: str, found: Row) -> None:
        """Unless it says what is known already."""
        if (self._row(cell, what) or {}).items() >= found.items():
            return
        about = {"cell": dataclasses.asdict(cell), "what": what, "threads": self.threads}
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / MIB
        row = self.rows[f"{cell.key}|{what}"] = {**about, "machine": machine, **found}
        self.study.note(f"{cell.key}|{what}", row)
        shown = {n: round(v, 3) if isinstance(v, float) else v for n, v in found.items()}
        print(f"{time.strftime('%T')} {cell.key}|{what} {shown}", flush=True)


def _acting(cell: Cell, axis: str) -> int:
    """The place on an axis; of more windows than steps only as many act, and cost."""
    place = getattr(cell, axis)
    return min(place, cell.steps) if axis == "count" else place


def _place(cell: Cell) -> int:
    return getattr(cell, AXES[cell.study])


def _was_run(row: Row) -> bool:
    """Whether a method came to an end: what stopped early has no time to be compared."""
    return "forecast" not in row and "failed" not in row and row["stopped"] is None


def _record(timing: Timing) -> Row:
    return {
        "seconds": statistics.median(timing.seconds),
        "ratio": timing.median,
        "span": [min(timing.ratios), max(timing.ratios)],
        "turns": len(timing.ratios),
    }
