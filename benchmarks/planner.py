"""What the planner predicts, and what is then measured.

    python -m benchmarks.planner --models mlp lenet

For each engine a process of its own plans, takes one whole hypergradient by this engine, and compares
seconds and peak memory: engines one after the other in one process would inflate each other's memory.
Several turns; the table shows medians, and the range of the ratios predicted / measured. Our bars are
25% of the time and 15% of the memory that were measured; what is given a limit may hold 10% more than that
above a plain run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import torch

import nongreedy as ng
from nongreedy.planning._peak import peak_memory

from .engine_cost import CASES, make_task

Row = dict[str, float]  # predicted and measured seconds and bytes

ENGINES = {
    "Reverse, graphs": ng.Reverse("graphs"),
    "Reverse, in 900 MiB": ng.Reverse(ng.engines.Auto(memory=900 * 2**20)),
    "Reverse, in 300 MiB": ng.Reverse(ng.engines.Auto(memory=300 * 2**20)),
    "Reverse, in 100 MiB": ng.Reverse(ng.engines.Auto(memory=100 * 2**20)),
    "Reverse, stored states": ng.Reverse("device"),
    "Reverse, checkpoints": ng.Reverse("checkpoint"),
    "Reverse, disk": ng.Reverse("disk"),
    "Reversible": ng.Reversible(),
    "Forward": ng.Forward(),
    "finite differences": ng.FiniteDifference(),
}
SLOW = "finite differences"  # measured in the first turn only
BARS = {"seconds": 0.25, "bytes": 0.15}
UNITS = {"seconds": ("s", 1.0), "bytes": ("MiB", 2.0**20)}


def compare(model: str, name: str, sample: int) -> Row:
    """In a process of its own: plan, then measure."""
    case, engine = CASES[model], ENGINES[name]
    task, optimizer = (
        make_task(case),
        ng.SGD(ng.Windows(min(7, case.steps)), ng.Windows(1, initial=0.9), ng.Windows(1)),
    )
    # Once per task, and no part of what is predicted.
    ng.Problem.of(task, optimizer, steps=case.steps, engine=engine)
    plan = ng.plan(task, optimizer, steps=case.steps, sample=sample, engines=[engine])
    (predicted,) = plan.forecasts
    with peak_memory(task.device) as peak:
        begin = time.perf_counter()
        ng.hypergradient(task, optimizer, steps=case.steps, engine=engine)
        seconds = time.perf_counter() - begin
    return {
        "predicted seconds": predicted.seconds, "measured seconds": seconds,
        "predicted bytes": predicted.bytes, "measured bytes": peak.bytes,
        "held bytes": peak.bytes - plan.present_bytes,
    }  # fmt: skip


def in_process(model: str, name: str, options: argparse.Namespace) -> Row:
    """`compare`, elsewhere."""
    command = [sys.executable, "-m", "benchmarks.planner", "--one", model, name]
    command += ["--sample", str(options.sample)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def line(name: str, rows: Sequence[Row]) -> str:
    """Predicted -> measured, the median ratio and its range, and whether that is within the bar."""
    cells = []
    for what, bar in BARS.items():
        unit, size = UNITS[what]
        predicted, measured = (
            [row[f"{kind} {what}"] for row in rows] for kind in ("predicted", "measured")
        )
        ratios = [p / m for p, m in zip(predicted, measured, strict=True)]
        middle = statistics.median(ratios)
        pair = (f"{statistics.median(side) / size:.4g}" for side in (predicted, measured))
        cells.append(
            f"{' -> '.join(pair)} {unit}, {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            f" {'ok' if abs(middle - 1) <= bar else 'MISSED'}"
        )
    held = statistics.median(row["held bytes"] for row in rows) / 2**20
    return f"  {name:<23} {cells[0]:<42} {cells[1]}, {held:.0f} MiB above a plain run"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=sorted(CASES), default=["mlp", "lenet"])
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--sample", type=int, default=8)
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "ENGINE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(compare(*options.one, options.sample)))
        return
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
          f"{time.strftime('%F')}; predicted -> measured, predicted / measured")  # fmt: skip
    for model in options.models:
        rows: dict[str, list[Row]] = {name: [] for name in options.engines}
        for turn in range(options.turns):
            for name in options.engines:
                if turn == 0 or name != SLOW:
                    rows[name].append(in_process(model, name, options))
        print(
            f"\n{model}: {CASES[model].steps} steps of {CASES[model].batch_size}, 9 hyperparameters"
        )
        for name, found in rows.items():
            print(line(name, found), flush=True)


if __name__ == "__main__":
    main()
