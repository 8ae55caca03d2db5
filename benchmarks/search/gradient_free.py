"""Batch size and epochs, which have no derivative, beside schedules, which have one.

    python -m benchmarks.search.gradient_free --part judged --tasks digits,noisy-labels --seeds 3

One budget in plain runs of the same first values (batches of 32, the suite's length), and a run costs the
gradients that it computes, for all:

- ``ours``: ``ng.tune`` with the task's schedules and two :class:`nongreedy.GradientFree`;
- ``fixed``: ``ng.tune`` with the first values of both;
- ``tpe``: Optuna's TPE over all of it: every coefficient, batch size and epochs;
- ``tpe-practice``: TPE over the peak of a learning rate that falls to nothing, momentum, weight decay, batch
  size and epochs.

TPE's trials run on one seed; its best four meet on two fresh seeds, within the budget. All are judged by
fresh trainings on test data. Finished pieces are kept in a file of JSON lines; a row that was stopped
goes on.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch

import nongreedy as ng
from nongreedy.errors import DivergedError
from nongreedy.search import Budget, BudgetSpentError, Objective
from nongreedy.search.rules._practice import practised

from ._data import Data
from ._entry import Entry
from ._options import data_of, parser_of
from ._tasks import TASKS

BATCH = ng.GradientFree(32, (8, 256), integer=True)
LONGER = 4.0  # times as many epochs as the suite has, at most, and at least a part
RATES = {"learning_rate": (1e-3, 3.0), "momentum": (0.0, 0.99), "weight_decay": (1e-6, 1e-2)}
FINALISTS, FINAL_SEEDS = 4, 2
FRESH = range(1000, 1005)
METHODS = ("ours", "fixed", "tpe", "tpe-practice")


@dataclass(frozen=True)
class Cell:
    """What is searched: a task of the suite with two choices."""

    entry: Entry
    data: Data
    budget: float
    seed: int

    def task(self, batch_size: int | ng.GradientFree) -> ng.Task:
        made = self.entry.make(self.data)
        return ng.Task(
            made.model, made.loss, self.pair(made.train), self.pair(made.validation),
            self.pair(made.test), batch_size=batch_size, augment=made.augment,
        )  # fmt: skip

    @staticmethod
    def pair(examples: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return examples.read(slice(None))

    @property
    def epochs(self) -> ng.GradientFree:
        per_epoch = self.entry.make(self.data).train.count // int(BATCH.value)
        first = max(1, round(self.entry.steps / per_epoch))
        return ng.GradientFree(first, (max(1, first // 2), round(LONGER * first)), integer=True)

    @property
    def problem(self) -> ng.Problem:
        """With both choices."""
        return ng.Problem.of(self.task(BATCH), self.entry.optimizer, epochs=self.epochs)


def ours(cell: Cell) -> tuple[ng.Schedule, float]:
    settings = {"budget": cell.budget, "seed": cell.seed, "progress": False}
    found = ng.tune(cell.task(BATCH), cell.entry.optimizer, epochs=cell.epochs, **settings)
    return found.schedule, found.cost


def fixed(cell: Cell) -> tuple[ng.Schedule, float]:
    task, epochs = cell.task(int(BATCH.value)), cell.epochs.value
    settings = {"budget": cell.budget, "seed": cell.seed, "progress": False}
    found = ng.tune(task, cell.entry.optimizer, epochs=epochs, **settings)
    first = {"batch_size": BATCH, "epochs": cell.epochs}
    curves = {n: cell.problem.initial.curves[n] for n in first}
    return ng.Schedule({**found.schedule.curves, **curves}), found.cost


def tpe(cell: Cell, practice: bool = False) -> tuple[ng.Schedule, float]:
    problem, budget = cell.problem, Budget(cell.budget, FINALISTS * FINAL_SEEDS)
    objective = Objective(problem, ng.Reverse(), seed=cell.seed, budget=budget)
    sampler = optuna.samplers.TPESampler(seed=cell.seed)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, seed = optuna.create_study(sampler=sampler), objective.seeds(0, 1)[0]
    draw = by_practice if practice else by_coefficient
    try:
        while True:
            trial = study.ask()
            try:
                loss = objective.rollout(draw(trial, problem), seed).outcome.loss
            except DivergedError:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, loss)
    except BudgetSpentError:
        budget.release()
    return final(objective), objective.cost


def final(objective: Objective) -> ng.Schedule:
    """The best on one seed meet again on fresh ones, as far as the budget goes."""
    ranked = sorted(objective.evaluated.values(), key=lambda entry: entry.loss)[:FINALISTS]
    losses = {id(entry): [entry.loss] for entry in ranked}
    for seed in objective.seeds(-1, FINAL_SEEDS):
        for entry in ranked:
            try:
                losses[id(entry)].append(objective.rollout(entry.schedule, seed).outcome.loss)
            except DivergedError:
                losses[id(entry)].append(math.inf)
            except BudgetSpentError:
                break
    return min(ranked, key=lambda entry: statistics.fmean(losses[id(entry)])).schedule


def choices(trial: optuna.Trial, problem: ng.Problem) -> dict[str, torch.Tensor]:
    found = {}
    for name, choice in problem.task.choices.items():
        low, high = map(int, choice.bounds)
        found[name] = torch.tensor([float(trial.suggest_int(name, low, high, log=True))])
    return {name: value.double() for name, value in found.items()}


def value(trial: optuna.Trial, label: str, setting: str) -> float:
    low, high = RATES[setting]
    if setting == "momentum":  # by its distance from 1
        return 1 - trial.suggest_float(label, 1 - high, 1 - low, log=True)
    return trial.suggest_float(label, low, high, log=True)


def by_coefficient(trial: optuna.Trial, problem: ng.Problem) -> ng.Schedule:
    found = {
        name: torch.tensor([value(trial, f"{name}-{k}", name) for k in range(len(hyper.initial))])
        for name, hyper in problem.learned.items()
    }
    moved = {name: values.double() for name, values in found.items()}
    return problem.initial.with_coefficients({**moved, **choices(trial, problem)})


def by_practice(trial: optuna.Trial, problem: ng.Problem) -> ng.Schedule:
    falling = practised(problem)
    rate = falling["learning_rate"]
    moved = {"learning_rate": rate / rate.max() * value(trial, "peak", "learning_rate")}
    for name in problem.learned.keys() - {"learning_rate"}:
        moved[name] = torch.full_like(falling[name], value(trial, name, name))
    return falling.with_coefficients({**moved, **choices(trial, problem)})


SEARCHES: dict[str, Callable[[Cell], tuple[ng.Schedule, float]]] = {
    "ours": ours,
    "fixed": fixed,
    "tpe": tpe,
    "tpe-practice": lambda cell: tpe(cell, practice=True),
}


def judged(cell: Cell, schedule: ng.Schedule) -> list[float]:
    """The measure of fresh trainings."""
    values = {name: float(schedule[name]) for name in ("batch_size", "epochs")}
    task = cell.task(int(values["batch_size"]))
    own = ng.Schedule({n: c for n, c in schedule.curves.items() if n not in values})
    trained = [ng.retrain(task, own, epochs=values["epochs"], seed=seed) for seed in FRESH]
    return [float(getattr(one, cell.entry.measure)) for one in trained]


def piece(cell: Cell, method: str) -> dict[str, Any]:
    schedule, cost = SEARCHES[method](cell)
    return {
        "values": judged(cell, schedule), "cost": cost,
        "schedule": {n: c.coefficients.tolist() for n, c in schedule.curves.items()},
    }  # fmt: skip


def table(done: dict[str, Any], tasks: list[str], seeds: int) -> str:
    lines = ["| task | " + " | ".join(METHODS) + " |", "|---" * (len(METHODS) + 1) + "|"]
    for name in tasks:
        cells = [name]
        for method in METHODS:
            rows = [done[f"{name}|{method}|{seed}"] for seed in range(seeds)]
            means = [statistics.fmean(row["values"]) for row in rows]
            error = statistics.stdev(means) / math.sqrt(len(means)) if len(means) > 1 else math.nan
            sizes = ", ".join(f"{r['schedule']['batch_size'][0]:.0f}x{r['schedule']['epochs'][0]:.0f}"
                              for r in rows)  # fmt: skip
            cells.append(f"{statistics.fmean(means):.4f} ± {error:.4f} ({sizes})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tasks", default="digits,noisy-labels")
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/gradient_free.jsonl"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = options.out.read_text().splitlines() if options.out.exists() else []
    done = {key: row for key, row in map(json.loads, lines)}
    names, data = options.tasks.split(","), data_of(options)
    for name in names:
        for seed in range(options.seeds):
            cell = Cell(TASKS[name], data, options.budget, seed)
            for method in METHODS:
                key = f"{name}|{method}|{seed}"
                if key not in done:
                    done[key] = piece(cell, method)
                    with options.out.open("a") as file:
                        file.write(json.dumps([key, done[key]]) + "\n")
                    print(
                        key, f"{statistics.fmean(done[key]['values']):.4f}", done[key], flush=True
                    )
    print(table(done, names, options.seeds))


if __name__ == "__main__":
    main()
