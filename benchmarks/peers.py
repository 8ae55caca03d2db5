"""Hypergradients against peers: `higher`, `torchopt`, plain unrolled autograd, the paper's algorithm.

    python -m benchmarks.peers                                            # agreement, half a minute
    python -m benchmarks.peers --what horizon --model mlp                 # time and memory against T
    python -m benchmarks.peers --what horizon --model lenet --horizons 1000 10000 --turns 0 \\
        --methods autograd higher torchopt checkpoint reversible --seconds-limit 1500 --rate 1e-3
    python -m benchmarks.peers --what count --model mlp --steps 1000      # against hyperparameters
    python -m benchmarks.peers --what horizon --model mlp --table --figure peers.png

* agreement: which hyperparameters of which optimizers each method differentiates, and whether finite
  differences of its own run agree; see `_peer_agreement`.
* horizon, count: time and peak memory of one hypergradient of a run of SGD with momentum and weight
  decay. Peaks come from a process for each; times from turns, in units of the plain ``torch.optim.SGD``
  run of the same steps on the same batches. What would pass a limit of memory or of seconds is not
  run but extrapolated, and marked. Finished cells are notes of a study: a benchmark that was killed
  goes on where it stopped, and with higher limits goes further.

`higher` and `torchopt` come with ``pip install 'nongreedy[peers]'``; without them their rows are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import nongreedy as ng

from ._cost_cases import RATE
from ._peer_agreement import agreement_table
from ._peer_cells import PLAIN, Cell, measure
from ._peer_figure import draw
from ._peer_list import METHODS, ON_SGD, installed
from ._peer_study import AXES, PILOTS, Costs, Limits
from ._peer_table import tables

TENS = (10, 100, 1_000, 10_000, 100_000)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=("agreement", *AXES), default="agreement")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="all that are installed")
    parser.add_argument("--model", choices=("mlp", "lenet"), default="mlp")
    parser.add_argument("--rate", type=float, default=RATE, help="learning rate of the runs")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--horizons", nargs="+", type=int, default=TENS, help="of --what horizon")
    parser.add_argument("--count", type=int, default=9, help="hyperparameters of --what horizon")
    parser.add_argument(
        "--counts", nargs="+", type=int, default=(1, *TENS[:-1]), help="of --what count"
    )
    parser.add_argument("--steps", type=int, default=1_000, help="of each run of --what count")
    parser.add_argument("--turns", type=int, default=3, help="of times; 0: memory alone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory-limit", type=float, default=8_000, help="MiB at the peak")
    parser.add_argument("--seconds-limit", type=float, default=120, help="of one hypergradient")
    parser.add_argument("--out", type=Path, default=Path("results/peers.db"))
    parser.add_argument("--table", action="store_true", help="print what the study says, and stop")
    parser.add_argument("--figure", type=Path, help="draw what the study says, and stop")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    for name in ("batch_size", "horizons", "count", "counts", "steps", "threads"):
        given = getattr(options, name)
        if min(given if isinstance(given, (list, tuple)) else [given]) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, but got {given}.")
    if options.count < 3:
        parser.error(
            f"--count has momentum and weight decay in it: at least 3, not {options.count}."
        )
    return options


def cells(options: argparse.Namespace) -> list[Cell]:
    """All that a study asks for, the plain run first."""
    names = [PLAIN, *installed(options.methods, ON_SGD)]
    fixed = (options.what, options.model, options.batch_size)
    if options.what == "count":
        return [
            Cell(*fixed, n, options.steps, k, options.rate)
            for k in sorted(options.counts)
            for n in names
        ]
    # The shortest say what the others will cost.
    horizons = sorted({*options.horizons, *(p for p in PILOTS if p < max(options.horizons))})
    return [
        Cell(*fixed, n, steps, options.count, options.rate) for steps in horizons for n in names
    ]


def show(options: argparse.Namespace, study: ng.Study) -> None:
    """What is measured along an axis, as a table or as a figure."""
    like = Cell(
        options.what, options.model, options.batch_size, PLAIN, options.steps, options.count,
        options.rate,
    )  # fmt: skip
    rows = study.notes()
    if options.figure:
        draw(rows, like, options.figure)
        print(f"Drawn: {options.figure}")
    if options.table or not options.figure:
        print("\n".join(tables(rows, like)))


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    if options.measure:
        print(json.dumps(measure(Cell(**options.measure))))
        return
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {options.threads} threads, "
          f"{time.strftime('%F')}")  # fmt: skip
    if options.what == "agreement":
        for line in agreement_table(installed(options.methods, METHODS)):
            print(line, flush=True)
        return
    study = ng.Study(options.out)
    if not (options.table or options.figure):
        limits = Limits(options.memory_limit, options.seconds_limit)
        Costs(study, limits, options.turns, options.threads).go(cells(options))
    show(options, study)


if __name__ == "__main__":
    main()
