"""Row 4: the search beside random search over architectures as dear, and uniform ones, at equal cost.

What is counted is floating-point operations: milliseconds of a shared machine would set another target in
each seed. The target is the cost of a uniform network, so that none of the rivals is short of budget.
A rival trains as often as the search and what it found cost together, and its best run on validation
examples counts. Two more rows say what the comparison is made of: the network found, trained from fresh
weights, and one uniform network for all the steps at once.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng
from nongreedy import nas
from nongreedy.data import Compose, HorizontalFlip, RandomCrop
from nongreedy.nas._data import Data
from nongreedy.protocols import mix

ROOM, RUNS = 0.05, 3  # of the target that may be left; trainings that the search may cost
NAMES = ("train_examples", "validation_examples", "test_examples")


class Trial:
    """Everything that the rows of one seed share.

    Args:
        small: In miniature, which says nothing of accuracy.
        seed: Of the examples, of weights, and of every order.
        out: Where the search keeps what it found.
    """

    def __init__(self, small: bool, seed: int, out: Path):
        self.seed, self.small, self.out = seed, small, out
        caps = (200, 100, 200) if small else (10_000, 2_500, 5_000)
        self.train, self.validation, self.test = _examples(caps, seed)
        self.net = nas.search_space(
            classes=10, resolution=32, width=0.25, depth=(3, 3, 3, 0, 0), head=160, seed=seed
        )
        self.net.to(memory_format=torch.channels_last)
        self.table = nas.flops(self.net)
        total = self.table.total
        middle = sum(map(total, self.table.extremes())) / 2
        rows = self.net.space.uniform()
        self.target = total(min(rows, key=lambda each: abs(total(each) - middle)))
        self.uniform = sorted((r for r in rows if total(r) <= self.target), key=total, reverse=True)
        augment = Compose(RandomCrop(4), HorizontalFlip())
        self.recipe = nas.Recipe(10 if small else 1500, 32, augment=augment)

    @property
    def file(self) -> Path:
        return self.out / f"cifar-{self.seed}{'-small' if self.small else ''}.json"

    def searched(self) -> dict[str, Any]:
        found = nas.search(
            self.net, self.train, self.validation, target=self.target, table=self.table,
            recipe=self.recipe, judges=500, room=ROOM, seed=self.seed,
            checkpoint=self.file.with_suffix(".ckpt"), every=30.0,
        )  # fmt: skip
        self.file.write_text(json.dumps(found.architecture.to_json()))
        steps = self.recipe.steps
        trainings = {"search": found.search_cost / steps, "final": found.final_cost / steps}
        return {**self._told(found.architecture, found.network), "trainings": trainings}

    def random(self, run: int) -> dict[str, Any]:
        draw = mix(self.seed, 5, run)
        chosen = nas.random_at(self.table, (1 - ROOM) * self.target, self.target, draw)
        assert chosen is not None  # the uniform network at the target is one of them
        return self.trained(chosen, run)

    def trained(self, chosen: nas.Architecture, run: int, times: int = 1) -> dict[str, Any]:
        """From fresh weights."""
        plain, recipe = self.net.plain(chosen), self.recipe
        nas.redraw(plain, mix(self.seed, 6, run))
        recipe = nas.Recipe(times * recipe.steps, recipe.batch_size, augment=recipe.augment)
        nas.train(plain, self.train, recipe, seed=mix(self.seed, 7, run))
        return self._told(chosen, plain)

    def again(self) -> dict[str, Any]:
        """The network found, without the weights of the search."""
        found = nas.Architecture.from_json(json.loads(self.file.read_text("utf-8")))
        return self.trained(found, 0)

    def _told(self, chosen: nas.Architecture, network: torch.nn.Module) -> dict[str, Any]:
        scores = {
            name: nas.judge(network, data)[1]
            for name, data in {"validation": self.validation, "test": self.test}.items()
        }
        cost = self.table.total(chosen) / self.target
        return {**scores, "cost": cost, "architecture": str(chosen)}


@cache
def _examples(caps: tuple[int, ...], seed: int) -> tuple[Data, Data, Data]:
    """With channels last, in which depthwise convolutions take half the time here."""
    caps_by_name = dict(zip(NAMES, caps, strict=True))
    splits = ng.data.load(os.environ["NONGREEDY_CIFAR10"], seed=seed, **caps_by_name)
    rows = [Data.of(part, "data") for part in (splits.train, splits.validation, splits.test)]
    last = [Data(r.inputs.to(memory_format=torch.channels_last), r.targets) for r in rows]
    return last[0], last[1], last[2]


def cifar(
    small: bool, out: Path = Path("runs/nas-rows")
) -> dict[str, Callable[[], dict[str, Any]]]:
    """The pieces: first what the bar is about, of every seed."""
    if not Path(os.environ.get("NONGREEDY_CIFAR10") or "/nowhere").exists():
        raise SystemExit("Name CIFAR-10 (a folder or zip of images) in NONGREEDY_CIFAR10.")
    seeds, runs = (range(1), range(1)) if small else (range(3), range(RUNS))
    trial = cache(partial(Trial, small, out=out))
    main, more = {}, {}
    for k in seeds:
        main[f"found-{k}"] = lambda k=k: trial(k).searched()
        for run in runs:
            main[f"random-{k}-{run}"] = lambda k=k, r=run: trial(k).random(r)
            main[f"uniform-{k}-{run}"] = lambda k=k, r=run: _uniform(trial(k), r)
        more[f"again-{k}"] = lambda k=k: trial(k).again()
        more[f"long-{k}"] = lambda k=k: trial(k).trained(trial(k).uniform[0], 0, RUNS)
    return main | more


def _uniform(trial: Trial, run: int) -> dict[str, Any]:
    """All that meet the target take turns, the dearest first."""
    return trial.trained(trial.uniform[run % len(trial.uniform)], run)


def compared(pieces: dict[str, dict[str, Any]]) -> str:
    """Test accuracy of each row's best run on validation examples; the bar, seed by seed."""
    best: dict[str, dict[str, float]] = {}
    for name in pieces:
        row, seed = name.split("-")[:2]
        best.setdefault(row, {})
        runs = [p for n, p in pieces.items() if n.split("-")[:2] == [row, seed]]
        best[row][seed] = 100 * max(runs, key=lambda run: run["validation"])["test"]
    lines = [f"{row}: {_mean(list(seeds.values()))} %" for row, seeds in best.items()]
    for rival in [row for row in best if row != "found"]:
        ahead = [best["found"][seed] - score for seed, score in best[rival].items()]
        lines.append(f"found - {rival}: {_mean(ahead)} points")
    spent = [sum(p["trainings"].values()) for p in pieces.values() if "trainings" in p]
    return "\n".join([*lines, f"trainings that the search cost: {max(spent):.2f} at most"])


def _mean(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):.2f} +- {error:.2f}"
