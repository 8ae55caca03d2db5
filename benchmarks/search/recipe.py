"""Many hyperparameters in one search, where data are few: against schedules, and black boxes over as many.

    python -m benchmarks.search.recipe --part judged --seeds 3 --budget 60

A thousand images of CIFAR-10 at half the resolution, a convolutional network, 1,200 steps: long enough to
learn them by heart. `recipe` is ``ng.tune(..., learn="recipe")``; `tpe-recipe` is TPE over the same
hyperparameters, `tpe` over the schedule alone, each at the same cost. One JSON line per search; what is in
``--out`` already is not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng

from ._data import CACHE, FOLDER, PARTS, Data
from ._entry import SGD
from ._fresh import FRESH, fresh
from ._images import classified, plain

STEPS = 1200
RECIPE = "recipe"


def task_of(data: Data) -> ng.Task:
    """Few images, often."""
    return classified(plain, data.cifar.shortened(train=1000), 32)


def searched(data: Data, method: str, budget: float, seed: int) -> dict[str, Any]:
    """One search and its fresh trainings."""
    task, begin = task_of(data), time.perf_counter()
    if method == RECIPE:
        result = ng.tune(task, SGD, steps=STEPS, budget=budget, seed=seed, learn=RECIPE)
        scores = [trained.test_accuracy for trained in fresh(result, STEPS, seed)]
        count = sum(len(h.initial) for h in _learned(result))
        more = {"cost": result.cost, "hyperparameters": count, "gain": result.settings.get("gain")}
    else:
        optimizer, name = SGD, method.removesuffix("-recipe")
        if method.endswith("-recipe"):
            task, optimizer = ng.recipe.extend(task, SGD, steps=STEPS)
        compared = ng.compare(
            task, optimizer, steps=STEPS, budget=budget, methods=[name], seeds=1, seed=seed,
            retrain_seeds=FRESH, curve_seeds=0,
        )  # fmt: skip
        (piece,) = compared.pieces
        scores, more = piece.fresh["test_accuracy"], {"cost": piece.cost}
    seconds = round(time.perf_counter() - begin)
    return {"method": method, "seed": seed, "accuracy": scores, "seconds": seconds, **more}


def _learned(result: ng.Result) -> list[Any]:
    assert result.task is not None and result.optimizer is not None
    return list(ng.Problem(result.task, result.optimizer, STEPS).learned.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, default=PARTS[0])
    parser.add_argument("--methods", default="recipe,cosine,schedule-free,tpe,tpe-recipe")
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=FOLDER)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--out", type=Path, default=Path("results/recipe.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = Data(options.part, options.data, options.cache)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = options.out.read_text("utf-8").splitlines() if options.out.exists() else []
    done = {(row["method"], row["seed"]) for row in map(json.loads, lines)}
    for seed in range(options.seeds):
        for method in options.methods.split(","):
            if (method, seed) not in done:
                row = searched(data, method, options.budget, seed)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
