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

import argparse
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

from ._data import CACHE, FOLDER, PARTS, Data
from ._entry import SGD
from ._fresh import FRESH, fresh
from ._images import classified, noisy, plain
from ._scores import Score, best, difference

OURS, SUFFIX = "recipe", "-recipe"
USUAL = "recipe,cosine,schedule-free,tpe,tpe-recipe"


@dataclass(frozen=True)
class Kitchen:
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
KITCHENS = {
    "few-images": Kitchen(few_images, 1200, ("recipe", "class_weights"), LONG),
    "noisy-labels": Kitchen(noisy, 200, ("example_weights",)),
}


def searched(kitchen: Kitchen, data: Data, method: str, budget: float, seed: int) -> dict[str, Any]:
    """One search and its fresh trainings."""
    task, steps, begin = kitchen.make(data), kitchen.steps, time.perf_counter()
    if method == OURS:
        result = ng.tune(
            task, kitchen.optimizer, steps=steps, budget=budget, seed=seed, learn=kitchen.learn,
            progress=False,
        )  # fmt: skip
        scores = [trained.test_accuracy for trained in fresh(result, steps, seed)]
        more = {"cost": result.cost, "hyperparameters": learned(result), "gain": str(result.gain)}
    else:
        optimizer, chosen = SGD, METHODS[method.removesuffix(SUFFIX)]
        if method.endswith(SUFFIX):
            task, optimizer = ng.recipe.extend(task, kitchen.optimizer, kitchen.learn, steps=steps)
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


def markdown(rows: Iterable[dict[str, Any]]) -> str:
    """Points of accuracy, mean and standard error over searches, and ours less the best of the others."""
    found = dict[str, dict[str, dict[int, float]]]()
    for row in rows:
        points = 100 * statistics.fmean(row["accuracy"])
        found.setdefault(row["task"], {}).setdefault(row["method"], {})[row["seed"]] = points
    methods = list(dict.fromkeys(name for of in found.values() for name in of))
    lines = [f"| | {' | '.join(methods)} | gain |", "|---" * (len(methods) + 2) + "|"]
    for task, of in found.items():
        scores = {name: Score(values) for name, values in of.items()}
        cells = [_spread(scores[m].mean, scores[m].error) if m in scores else "" for m in methods]
        rival = best(scores, [name for name in methods if name != OURS])
        gain = ""
        if OURS in scores and rival is not None:
            gain = _spread(*difference(scores[OURS], scores[rival]))
        lines.append(f"| {' | '.join([task, *cells, gain])} |")
    return "\n".join(lines)


def _spread(mean: float, error: float) -> str:
    return f"{mean:.2f} ± {error:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, default=PARTS[0])
    parser.add_argument("--tasks", default=",".join(KITCHENS))
    parser.add_argument("--methods", default=USUAL)
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=FOLDER)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--out", type=Path, default=Path("results/recipe.jsonl"))
    parser.add_argument("--table", action="store_true", help="of what is there; search nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Data(options.part, options.data, options.cache)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = options.out.read_text("utf-8") if options.out.exists() else ""
    rows = [row for row in map(json.loads, text.splitlines()) if row["part"] == options.part]
    done = {(row["task"], row["method"], row["seed"]) for row in rows}
    for seed in range(0 if options.table else options.seeds):
        for name in options.tasks.split(","):
            for method in options.methods.split(","):
                if (name, method, seed) in done:
                    continue
                row = searched(KITCHENS[name], data, method, options.budget, seed)
                rows.append({"part": options.part, "task": name, **row})
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(json.dumps(rows[-1]), flush=True)
    print(markdown(rows))


if __name__ == "__main__":
    main()
