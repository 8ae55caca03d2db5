"""What a hypergradient costs as things grow: parameters, horizon, hyperparameters, processes.

    python -m benchmarks.growth --out results/growth.json          # goes on where it stopped
    python -m benchmarks.growth --out results/growth.json --axes horizon --methods ours autograd
    python -m benchmarks.growth --out results/growth.json --table --figure docs/growth.png

Each cell is a process of its own with one thread: turns of a plain ``torch.optim`` run and of one
hypergradient, medians of seconds of that thread (of the clock where processes grow), and peak resident memory
above what there was before. Two hidden layers, batches of 32. Ours is ``ng.Reverse()``, which chooses the
store that fits. Peers (the extra `peers`) are left out where they are not installed, and at larger places
once they have failed, by memory or by time. Slopes are of log against log, by least squares, with confidence
of 95 %; of parameters and horizon at the last three places.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import torch

from ._growth_cells import AXES, OURS, PEERS, Cell, cells, measure, measure_by_ranks, measured
from ._growth_page import draw, failures, tables
from ._peer_list import METHODS


def conduct(options: argparse.Namespace, rows: dict[str, dict]) -> None:
    """Measure what is missing, and keep each cell as soon as it is known."""
    end, lost = time.monotonic() + 60 * options.minutes, set[tuple[str, str]]()
    methods = [m for m in options.methods if m == OURS or METHODS[m].method.missing() is None]
    for cell in cells(options.axes, methods):
        way = cell.axis, cell.method
        if way in lost or (options.most and cell.place > options.most):
            continue
        if cell.key not in rows:
            if time.monotonic() > end:
                return print("The time is over; the same command goes on from here.")
            rows[cell.key] = measured(cell, options.seconds, options.gibibytes)
            options.out.write_text(json.dumps(rows, indent=1) + "\n")
            print(time.strftime("%T"), cell.key, rows[cell.key], flush=True)
        if "failed" in rows[cell.key]:
            lost.add(way)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/growth.json"))
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--methods", nargs="+", choices=(OURS, *PEERS), default=[OURS, *PEERS])
    parser.add_argument("--minutes", type=float, default=60.0, help="start no cell after these")
    parser.add_argument("--seconds", type=float, default=15.0, help="of the turns of a cell, about")
    parser.add_argument("--gibibytes", type=float, default=6.0, help="that a process may take")
    parser.add_argument("--most", type=int, help="the largest place")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--figure", type=Path, help="draw it there")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        torch.set_num_threads(1)
        most = int(options.gibibytes * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        cell = Cell(**json.loads(options.measure))
        row = (measure_by_ranks if cell.axis == "ranks" else measure)(cell, options.seconds)
        return print(json.dumps(row)) if row is not None else None
    options.out.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(options.out.read_text()) if options.out.exists() else {}
    if not options.table:
        conduct(options, rows)
    print("\n".join([*tables(rows), "", *failures(rows)]))
    if options.figure:
        draw(rows, options.figure)
    return None


if __name__ == "__main__":
    main()
