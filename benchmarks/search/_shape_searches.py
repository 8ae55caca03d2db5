"""Searches over shapes of a learning rate: black boxes, and ours from a flat start."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

import nongreedy as ng
from nongreedy.comparison._black_box import run_trials
from nongreedy.comparison._meter import Meter
from nongreedy.errors import DivergedError
from nongreedy.schedules import Curve
from nongreedy.search import Memory, Request

from ._families import FAMILIES, Family, drawn
from ._fresh import fresh_seeds

OURS, RATE = "ours-", "learning_rate"
FRESH = 5  # trainings of what a search returns
FLAT = 1e-3  # torch.optim.Adam's own rate: our start
RATES = (1e-3, 10**-2.5, 1e-2, 10**-1.5, 0.1)  # base rates of each shape; TPE's lie in between
TOLD = 20  # about so many of the rates that a search returned are in its row

Found = tuple[ng.Schedule | None, float]  # and what it has cost


@dataclass
class Kept(Memory):
    """Answers of searches that have runs in common."""

    answers: dict[str, Any] = field(default_factory=dict)

    def recall(self, request: Request) -> Any:
        return self.answers.get(request.key)

    def remember(self, request: Request, answer: Any) -> None:
        self.answers[request.key] = answer


def flat(task: ng.Task, steps: int, knots: int) -> ng.Problem:
    """Adam with a constant rate, which is where ours begins; black boxes put theirs in its place."""
    basis = ng.Linear(knots, initial=FLAT)
    return ng.Problem.of(task, ng.Adam(basis), steps=steps)


def scheduled(
    problem: ng.Problem, family: Family, shape: Mapping[str, float], rate: float
) -> ng.Schedule:
    """A rate of its own for each step."""
    rates = rate * torch.from_numpy(family.shape(shape, problem.steps))
    curve = Curve(ng.Windows(problem.steps), rates)
    return ng.Schedule({**problem.initial.curves, RATE: curve})


def black_box(
    task: ng.Task, steps: int, method: str, budget: float, seed: int, memory: Memory
) -> Found:
    """Trials, of which the best few meet on common fresh seeds."""
    sampler, _, name = method.partition("-")
    problem, family = flat(task, steps, 2), FAMILIES[name]
    meter = Meter(problem, budget, seed, memory=memory)

    def loss(shape: Mapping[str, float], rate: float) -> float:
        return meter.train(scheduled(problem, family, shape, rate)).loss

    def every_rate(trial: Any) -> float | None:
        shape, losses = drawn(trial, family), list[float]()
        for rate in RATES:
            try:
                losses.append(loss(shape, rate))
            except DivergedError:
                continue
        return min(losses, default=None)

    def jointly(trial: Any) -> float | None:
        shape = drawn(trial, family)
        return loss(shape, trial.suggest_float("rate", RATES[0], RATES[-1], log=True))

    evaluate, kind = {
        "random": (every_rate, "RandomSampler"),
        "tpe": (jointly, "TPESampler"),
    }[sampler]
    run_trials(evaluate, meter, kind)
    chosen = meter.choose()
    return None if chosen is None else chosen.schedule, meter.cost


def ours(task: ng.Task, steps: int, method: str, budget: float, seed: int, memory: Memory) -> Found:
    """May stop before its budget is spent."""
    problem = flat(task, steps, int(method.removeprefix(OURS)))
    result = ng.tune(
        task, problem.optimizer, steps=steps, budget=budget, seed=seed,
        outer=ng.ModelSearch(averaging=False), start=problem.initial, study=memory, progress=False,
    )  # fmt: skip
    return result.schedule, result.cost


def searches(
    task: ng.Task, steps: int, method: str, budgets: Sequence[float], seed: int
) -> Iterator[dict[str, Any]]:
    """Of one method and seed: a row for each budget."""
    memory, judged = Kept(), dict[Any, tuple[list[float], list[float]]]()
    search = ours if method.startswith(OURS) else black_box
    for budget in budgets:
        begin = time.perf_counter()
        schedule, cost = search(task, steps, method, budget, seed, memory)
        row = {"method": method, "seed": seed, "budget": budget, "cost": round(cost, 2)}
        losses, errors = [math.inf] * FRESH, [math.nan] * FRESH
        if schedule is not None:
            key = schedule.identity
            losses, errors = judged[key] = judged.get(key) or judge(task, schedule, steps, seed)
            rates = schedule.values(steps)[RATE].tolist()
            row["rates"] = [float(f"{r:.3g}") for r in rates[:: max(steps // TOLD, 1)]]
        seconds = round(time.perf_counter() - begin, 1)
        yield {**row, "losses": losses, "errors": errors, "seconds": seconds}


def judge(
    task: ng.Task, schedule: ng.Schedule, steps: int, seed: int
) -> tuple[list[float], list[float]]:
    """Losses and errors of fresh trainings, by plain ``torch.optim``, on seeds common to all methods."""
    trained = [
        ng.retrain(task, schedule, steps=steps, seed=s, optimizer=ng.Adam())
        for s in fresh_seeds(seed, FRESH)
    ]
    losses = [one.validation_loss for one in trained]
    return losses, [1 - (one.validation_accuracy or 0.0) for one in trained]
