"""Many hyperparameters in one search: against tuned schedules, and against black boxes over as many.

    python -m benchmarks.search.recipe --part judged --seeds 3 --budget 60
    python -m benchmarks.search.recipe --part judged --table

``few-images``: a thousand images of CIFAR-10 at half the resolution, a convolutional network, 1,200 steps,
long enough to learn them by heart; 61 hyperparameters. ``noisy-labels``: that of the suite, 40 % of its
labels redrawn; a schedule and a weight for each of 2,000 examples. `recipe` is ``ng.tune(..., learn=...)``,
`tpe-recipe` TPE over the same hyperparameters, `tpe` over the schedule alone, all at the same cost. One
JSON line per search; what is in ``--out`` already is not repeated.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng
from nongreedy.comparison import METHODS
from nongreedy.comparison._ranges import Ranges

from ._data import Data
from ._entry import SGD
from ._fresh import FRESH, fresh
from ._images import classified, noisy, plain
from ._options import data_of, parser_of
from ._rows import Row, append, read
from ._scores import Score, best, difference
from ._table import lines, spread

OURS, SUFFIX = "recipe", "-recipe"
USUAL = "recipe,cosine,schedule-free,tpe,tpe-recipe"


@dataclass(frozen=True)
class RecipeTask:
    """Where a recipe is looked for.

    Args:
        make: The task, from a part of the data.
        steps: Of a run.
        learn: Words of the recipe.
        optimizer: Of the recipe; other methods have the suite's.
    """

    make: Callable[[Data], ng.Task]
    steps: int
    learn: tuple[str, ...]
    optimizer: ng.Optimizer = SGD


def few_images(data: Data) -> ng.Task:
    """Few images, often."""
    return classified(plain, data.cifar.shortened(train=1000), 32)


LONG = ng.SGD(ng.Linear(7), ng.Linear(5), ng.Linear(5))
TASKS = {
    "few-images": RecipeTask(few_images, 1200, ("recipe", "class_weights"), LONG),
    "noisy-labels": RecipeTask(noisy, 200, ("example_weights",)),
}


def searched(
    where: RecipeTask, data: Data, method: str, budget: float, seed: int
) -> dict[str, Any]:
    """One search and its fresh trainings."""
    task, steps, begin = where.make(data), where.steps, time.perf_counter()
    if method == OURS:
        result = ng.tune(
            task, where.optimizer, steps=steps, budget=budget, seed=seed, learn=where.learn,
            progress=False,
        )  # fmt: skip
        scores = [trained.test_accuracy for trained in fresh(result, steps, seed)]
        gain = None if result.gain is None else result.gain.to_json()
        more = {"cost": result.cost, "hyperparameters": learned(result), "gain": gain}
    else:
        optimizer, chosen = SGD, METHODS[method.removesuffix(SUFFIX)]
        if method.endswith(SUFFIX):
            task, optimizer = ng.recipe.extend(task, where.optimizer, where.learn, steps=steps)
            chosen = dataclasses.replace(chosen, ranges=Ranges(most=10_000))
        compared = ng.compare(
            task, optimizer, steps=steps, budget=budget, methods={method: chosen}, seeds=1,
            seed=seed, retrain_seeds=FRESH, curve_seeds=0,
        )  # fmt: skip
        (piece,) = compared.pieces
        scores, more = piece.fresh["test_accuracy"], {"cost": piece.cost}
    seconds = round(time.perf_counter() - begin)
    return {"method": method, "seed": seed, "accuracy": scores, "seconds": seconds, **more}


def learned(result: ng.Result) -> int:
    """How many coefficients."""
    assert result.task is not None and result.optimizer is not None
    problem = ng.Problem(result.task, result.optimizer, 10)
    return sum(len(result.schedule[name]) for name in problem.learned)


def markdown(rows: Iterable[Row]) -> str:
    """Points of accuracy, mean and standard error over searches, and ours less the best of the others."""
    found = dict[str, dict[str, dict[int, float]]]()
    for row in rows:
        points = 100 * statistics.fmean(row["accuracy"])
        found.setdefault(row["task"], {}).setdefault(row["method"], {})[row["seed"]] = points
    methods = list(dict.fromkeys(name for of in found.values() for name in of))
    table = list[list[str]]()
    for task, of in found.items():
        scores = {name: Score(values) for name, values in of.items()}
        cells = [spread(scores[m].mean, scores[m].error) if m in scores else "" for m in methods]
        rival = best(scores, [name for name in methods if name != OURS])
        gain = ""
        if OURS in scores and rival is not None:
            gain = spread(*difference(scores[OURS], scores[rival]), signed=True)
        table.append([task, *cells, gain])
    return lines(["", *methods, "gain"], table)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--methods", default=USUAL)
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/recipe.jsonl"))
    parser.add_argument("--table", action="store_true", help="of what is there; search nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = data_of(options)
    rows = read(options.out, options.part)
    done = {(row["task"], row["method"], row["seed"]) for row in rows}
    for seed in range(0 if options.table else options.seeds):
        for name in options.tasks.split(","):
            for method in options.methods.split(","):
                if (name, method, seed) in done:
                    continue
                row = searched(TASKS[name], data, method, options.budget, seed)
                rows.append(append(options.out, options.part, {"task": name, **row}))
                print(json.dumps(rows[-1]), flush=True)
    print(markdown(rows))


if __name__ == "__main__":
    main()
