"""What a hypergradient costs, in time and in memory.

    python -m benchmarks.engine_cost                                    # all three tables
    python -m benchmarks.engine_cost --what time --models lenet
    python -m benchmarks.engine_cost --what sweeps      # time, but for what takes ten plain runs
    python -m benchmarks.engine_cost --what engines     # under eight minutes

Everything is in units of one plain ``torch.optim.SGD`` run of the same steps on the same batches in
the same process. The methods take turns, several times (what costs more than eight plain runs once),
and each ratio is taken to the plain runs of its own turn.

* time: reverse sweeps, unrolled autograd, forward mode and the paper's own algorithm, on four networks. What
  checkpoints cost above stored states is the median of the differences within each turn. For 1,000
  hyperparameters the learning rate has 998 windows. Where the timed run is shorter than that, the
  windows are finer than its steps: the reverse sweep's cost does not depend on it.
* engines: every engine at 1 to 10,000 hyperparameters; see `_cost_engines`.
* memory: peak resident bytes above those of a run of four steps, each from a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import time
from collections.abc import Collection

import torch

import nongreedy as ng

from ._cost_cases import CASES, Case, make_task, of_optimizer, plain, schedule_with
from ._cost_engines import DEAR, engines_table
from ._cost_memory import measure_memory, memory_table
from ._cost_turns import Body, Timing, take_turns
from ._peer_unrolled import Autograd
from .paper_algorithm import paper_hypergradient

BASE = "plain torch.optim run"
STORED, CHECKPOINTS = "Reverse, stored, 9", "Reverse, checkpoints, 9"
SLOW = "Forward, 9", "paper's algorithm, 9"


def methods(case: Case) -> dict[str, Body]:
    """Name -> one whole hypergradient."""
    nine, thousand = of_optimizer(case, 9), of_optimizer(case, 1000)
    unrolled = Autograd()
    return {
        "Reverse, graphs, 9": lambda: nine.hypergradient(ng.Reverse("graphs")),
        "Reverse, graphs, 1,000": lambda: thousand.hypergradient(ng.Reverse("graphs")),
        "unrolled autograd, 9": lambda: unrolled.hypergradient(nine.run, nine.schedule, nine.learn),
        STORED: lambda: nine.hypergradient(ng.Reverse("device")),
        CHECKPOINTS: lambda: nine.hypergradient(ng.Reverse("checkpoint")),
        "Reverse, stored, 1,000": lambda: thousand.hypergradient(ng.Reverse("device")),
        SLOW[0]: lambda: nine.hypergradient(ng.Forward()),
        SLOW[1]: lambda: paper_hypergradient(nine.run, nine.schedule),
    }


def check_agreement(case: Case) -> float:
    """Largest relative difference of the paper's algorithm and Reverse, in float64, 6 steps."""
    run = ng.Run(make_task(case), ng.SGD(), 6, dtype=torch.float64)
    schedule = schedule_with(5)
    paper = paper_hypergradient(run, schedule)
    ours = ng.Reverse().hypergradient(run, schedule, list(schedule.curves)).gradients
    return max(
        ((paper[n] - ours[n]).abs().max() / ours[n].abs().max().clamp(min=1e-300)).item()
        for n in ours
    )


def time_table(case: Case, repetitions: int, but: Collection[str] = ()) -> None:
    """Print ratios to the plain run, of all methods but some."""
    print(f"\n{case.model}: {case.steps} steps of {case.batch_size}, {repetitions} turns, "
          f"{torch.get_num_threads()} threads; paper's algorithm agrees to "
          f"{check_agreement(case):.1e}")  # fmt: skip
    task, bodies = make_task(case), {n: b for n, b in methods(case).items() if n not in but}
    short = methods(dataclasses.replace(case, steps=4))
    for name in bodies:
        short[name]()  # first calls load and allocate
    # A plain run before each of them.
    groups = [{name: body} for name, body in bodies.items()]
    base, found = take_turns(lambda: plain(task, case.steps), groups, repetitions, DEAR)
    surplus = found[CHECKPOINTS].minus(found[STORED])
    rows = {BASE: base, **found, "checkpoints minus stored, same turn": surplus}
    for name, timing in rows.items():
        print(
            f"  {name:<36} {timing.median:6.2f}   ({timing.span}; {_seconds(timing)})", flush=True
        )


def _seconds(timing: Timing) -> str:
    return f"{statistics.median(timing.seconds):.2f} s"


def sweeps_table(case: Case, repetitions: int) -> None:
    """Without what takes ten plain runs."""
    time_table(case, repetitions, SLOW)


# Name -> (what prints it, its networks, its turns) unless others are asked for.
TABLES = {
    "time": (time_table, list(CASES), 5),
    "sweeps": (sweeps_table, list(CASES), 5),
    "engines": (engines_table, ["mlp"], 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=(*TABLES, "memory", "all"), default="all")
    parser.add_argument("--models", nargs="+", choices=sorted(CASES), help="of time and engines")
    parser.add_argument("--repetitions", type=int, help="turns of time and engines")
    parser.add_argument("--steps", type=int, help="of each run of time and engines, for a trial")
    parser.add_argument("--memory-of", nargs=2, metavar=("ENGINE", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in ("repetitions", "steps"):
        given = getattr(options, name)
        if given is not None and given < 1:
            parser.error(f"--{name} must be at least 1, but got {given}.")
    if options.memory_of:
        return measure_memory(options.memory_of[0], int(options.memory_of[1]))
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {time.strftime('%F')}")
    for what, (table, models, turns) in TABLES.items():
        if options.what == what or (options.what == "all" and what != "sweeps"):
            for model in options.models or models:
                case = CASES[model]
                case = dataclasses.replace(case, steps=options.steps or case.steps)
                table(case, options.repetitions or turns)
    if options.what in ("memory", "all"):
        memory_table()
    return None


if __name__ == "__main__":
    main()
