"""What each ingredient of the default rule is worth: the search without it, on tasks of the suite.

    python -m benchmarks.search.ablation --tasks cifar-plain,tabular,mnist-mlp --seeds 3

Whole: the default rule. Without the start: from the first values of the optimizer. Without the model: the
start and averages are those of practice, and improved by the rule of before, line searches where seeds
agree. Without averaging: the falling rate alone. With the recipe: more hyperparameters at the same price.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch

import nongreedy as ng

from ._data import Data
from ._fresh import fresh
from ._options import data_of, parser_of
from ._tasks import TASKS

ROWS: dict[str, dict[str, Any]] = {
    "whole": {},
    "without the start": {"start": "zero"},
    "without the model": {"outer": "agreement", "start": "practice"},
    "without averaging": {"outer": ng.ModelSearch(averaging=False)},
    "with the recipe": {"learn": "recipe"},
}


def scores(
    name: str, data: Data, settings: dict[str, Any], budget: float, seeds: int
) -> list[float]:
    """The measure of each search's choice."""
    entry = TASKS[name]
    found = list[float]()
    for seed in range(seeds):
        result = ng.tune(
            entry.make(data), entry.optimizer, steps=entry.steps, budget=budget, seed=seed,
            progress=False, **settings,
        )  # fmt: skip
        trained = fresh(result, entry.steps, seed)
        found.append(statistics.fmean(getattr(t, entry.measure) for t in trained))
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tasks", default="cifar-plain,tabular,mnist-mlp")
    parser.add_argument("--budget", type=float, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, tasks = data_of(options), options.tasks.split(",")
    print("| | " + " | ".join(tasks) + " |\n" + "|---" * (len(tasks) + 1) + "|")
    for words, settings in ROWS.items():
        cells = []
        for name in tasks:
            values = scores(name, data, settings, options.budget, options.seeds)
            error = (
                statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
            )
            cells.append(f"{statistics.fmean(values):.4f} ± {error:.4f}")
        print(f"| {words} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
