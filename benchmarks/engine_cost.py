"""What a hypergradient costs, in time and in memory.

    python -m benchmarks.engine_cost               # both tables
    python -m benchmarks.engine_cost --what time --models lenet

Time: in units of one plain ``torch.optim.SGD`` run of the same steps on the same batches in the same
process. The methods take turns, several times (forward mode and the paper's algorithm once), and each
ratio is taken to the plain run of its own turn; the table shows medians.

Memory: peak resident bytes above those of a run of four steps, each figure from a process of its own.

For 1,000 hyperparameters the learning rate has 998 windows. Where the timed run is shorter than that,
the windows are finer than its steps: the reverse sweep's cost does not depend on it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

import nongreedy as ng
from nongreedy._basis import Windows
from nongreedy._curve import Curve

from .paper_algorithm import paper_hypergradient


@dataclasses.dataclass(frozen=True)
class Case:
    """A network, its input shape and how many steps a timed run has."""

    model: str
    shape: tuple[int, int, int]
    steps: int
    batch_size: int = 128


BASE = "plain torch.optim run"
CASES = {
    "mlp": Case("mlp", (1, 28, 28), 300),
    "lenet": Case("lenet", (3, 32, 32), 60),
    "wrn-16-1": Case("wrn-16-1", (3, 32, 32), 6),
}


def make_task(case: Case) -> ng.Task:
    """Random images: the cost does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    count = 4 * case.batch_size
    x = torch.randn(count, *case.shape, generator=generator)
    y = torch.randint(10, (count,), generator=generator)
    # A validation set of one batch, so that the figure is that of the steps.
    held_out = (x[: case.batch_size], y[: case.batch_size])
    model = ng.models.build(case.model, case.shape, 10)
    loss = torch.nn.functional.cross_entropy
    return ng.Task(model, loss, (x, y), held_out, batch_size=case.batch_size)


def schedule_with(count: int) -> ng.Schedule:
    """`count` hyperparameters: all but two of them windows of the learning rate."""
    values = {"learning_rate": (count - 2, 0.01), "momentum": (1, 0.9), "weight_decay": (1, 5e-4)}
    return ng.Schedule(
        {n: Curve(Windows(k), torch.full((k,), v).double()) for n, (k, v) in values.items()}
    )


def plain(task: ng.Task, steps: int) -> None:
    """An ordinary training loop."""
    model = task.model().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for step in range(steps):
        inputs, targets = task.plan.batch(0, step, task.device, torch.float32)
        optimizer.zero_grad()
        task.loss(model(inputs), targets).backward()
        optimizer.step()


def methods(case: Case) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
    """Name -> one whole hypergradient (or plain run): quick ones, and slow ones."""
    task = make_task(case)
    run = ng.Run(task, ng.SGD(), case.steps)
    nine, thousand = schedule_with(9), schedule_with(1000)
    quick: dict[str, Callable[[], object]] = {
        BASE: lambda: plain(task, case.steps),
        "Reverse, stored, 9": lambda: _gradient(ng.Reverse("device"), run, nine),
        "Reverse, stored, 1,000": lambda: _gradient(ng.Reverse("device"), run, thousand),
        "Reverse, checkpoints, 9": lambda: _gradient(ng.Reverse("checkpoint"), run, nine),
    }
    slow: dict[str, Callable[[], object]] = {
        "Forward, 9": lambda: _gradient(ng.Forward(), run, nine),
        "paper's algorithm, 9": lambda: paper_hypergradient(run, nine),
    }
    return quick, slow


def _gradient(engine: ng.Engine, run: ng.Run, schedule: ng.Schedule) -> object:
    return engine.hypergradient(run, schedule, list(schedule.curves))


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


def time_table(names: list[str], repetitions: int) -> None:
    """Print ratios to the plain run."""
    for name in names:
        case = CASES[name]
        print(f"\n{name}: {case.steps} steps of {case.batch_size}, {repetitions} turns, "
              f"{torch.get_num_threads()} threads; paper's algorithm agrees to "
              f"{check_agreement(case):.1e}")  # fmt: skip
        quick, slow = methods(case)
        for body in quick.values():
            body()
        seconds: dict[str, list[float]] = {key: [] for key in quick | slow}
        for turn in range(repetitions):
            # The slow ones take one turn: they are many times off, and the machine drifts.
            for key, body in (quick | slow if turn == 0 else quick).items():
                begin = time.perf_counter()
                body()
                seconds[key].append(time.perf_counter() - begin)
        for key, times in seconds.items():
            ratios = [t / b for t, b in zip(times, seconds[BASE], strict=False)]
            print(f"  {key:<26} {statistics.median(ratios):6.2f}   "
                  f"({min(ratios):.2f} to {max(ratios):.2f}; {statistics.median(times):.2f} s)",
                  flush=True)  # fmt: skip


def measure_memory(engine: str, steps: int) -> None:
    """In a process of its own: peak growth, in MiB, over the same after four steps."""
    case = Case("mlp", (1, 28, 28), steps, batch_size=16)
    task, engines = make_task(case), {"reverse": ng.Reverse("checkpoint"), "forward": ng.Forward()}
    schedule = schedule_with(3)
    _gradient(engines[engine], ng.Run(task, ng.SGD(), 4), schedule)
    before = _peak()
    _gradient(engines[engine], ng.Run(task, ng.SGD(), steps), schedule)
    print(json.dumps({"before": before, "peak": _peak()}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_table() -> None:
    """Print peak memory at 1,000 and 10,000 steps."""
    print("\nmemory: MLP with 101,770 parameters, MiB")
    for engine in ("reverse", "forward"):
        rows = {}
        for steps in (1_000, 10_000):
            command = [
                sys.executable,
                "-m",
                "benchmarks.engine_cost",
                "--memory-of",
                engine,
                str(steps),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows[steps] = json.loads(done.stdout)
        growth = {t: row["peak"] - row["before"] for t, row in rows.items()}
        label = {"reverse": "Reverse, checkpoints", "forward": "Forward, 3"}[engine]
        print(f"  {label:<22} peak {rows[1000]['peak']:.0f} -> {rows[10000]['peak']:.0f} "
              f"(ratio {rows[10000]['peak'] / rows[1000]['peak']:.3f}); growth over four steps "
              f"{growth[1000]:.1f} -> {growth[10000]:.1f}"
              + (f" (ratio {growth[10000] / growth[1000]:.2f})" if growth[1000] > 1 else ""))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=("time", "memory", "all"), default="all")
    parser.add_argument("--models", nargs="+", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--memory-of", nargs=2, metavar=("ENGINE", "STEPS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        return measure_memory(options.memory_of[0], int(options.memory_of[1]))
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {time.strftime('%F')}")
    if options.what != "memory":
        time_table(options.models, options.repetitions)
    if options.what != "time":
        memory_table()
    return None


if __name__ == "__main__":
    main()
