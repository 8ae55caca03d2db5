"""Searches that start from peaks a hundred times too small and too large.

    python -m benchmarks.search.starts --tasks digits,cifar-plain --seeds 2

The same task, optimizer and budget, with ``initial=`` of the learning rate at a hundredth of the usual peak,
at it and at a hundred times of it. What is found is judged by fresh trainings on test data.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import torch

import nongreedy as ng
from nongreedy.schedules import Basis
from nongreedy.search.rules._practice import usual

from ._data import Data
from ._fresh import fresh
from ._options import data_of, parser_of
from ._tasks import TASKS

FACTORS = 0.01, 1.0, 100.0


def found(name: str, data: Data, factor: float, budget: float, seed: int) -> float:
    """The measure of what a search from this start finds."""
    entry = TASKS[name]
    practice, rate = usual(entry.optimizer), entry.optimizer.given()["learning_rate"]
    assert practice is not None and isinstance(rate, Basis)
    started = replace(rate, initial=factor * practice.peak)
    optimizer = replace(entry.optimizer, learning_rate=started)  # pyright: ignore[reportCallIssue]
    task = entry.make(data)
    result = ng.tune(task, optimizer, steps=entry.steps, budget=budget, seed=seed)
    return statistics.fmean(getattr(t, entry.measure) for t in fresh(result, entry.steps, seed))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tasks", default="digits,mnist-mlp,cifar-plain")
    parser.add_argument("--budget", type=float, default=40)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = data_of(options)
    print("| task | " + " | ".join(f"{factor:g} times the usual peak" for factor in FACTORS) + " |")
    print("|---" * (len(FACTORS) + 1) + "|")
    for name in options.tasks.split(","):
        cells = []
        for factor in FACTORS:
            values = [
                found(name, data, factor, options.budget, seed) for seed in range(options.seeds)
            ]
            spread = (
                f" ± {statistics.stdev(values) / len(values) ** 0.5:.4f}" if len(values) > 1 else ""
            )
            cells.append(f"{statistics.fmean(values):.4f}{spread}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
