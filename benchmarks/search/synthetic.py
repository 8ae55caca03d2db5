"""The default rule where the loss is a formula: hundreds of searches in a minute.

    python -m benchmarks.search.synthetic --cases plain,noisy,relative --budget 40,100 --draws 40

A valley in decades of five learning rates, momentum and weight decay, with its optimum near half a cosine, a
cliff above it, and a plateau far away. Each seed has an offset and a smooth random field of its own, whose
exact slope is the seed's hypergradient; beyond the cliff slopes explode. ``noisy`` has four times the noise;
in ``relative`` the loss is the exponential of the valley and of a field of 30 %, as where training images are
fitted, and a search starts from a flat, low rate. ``chaotic`` replaces half of the hypergradients by noise.
What is told is the loss without noise, above the optimum's.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import nongreedy as ng
from nongreedy.schedules._hyperparameter import learned
from nongreedy.search import Budget, BudgetSpentError, Evaluated, Status
from nongreedy.search._finalists import select

Array = NDArray[np.float64]
KNOTS, LEVEL, PLATEAU = 5, 1.4, 1.8  # the optimum's loss, and how far above it no run ends
SWEEP = 2.0  # plain runs that a hypergradient costs
LN10 = math.log(10.0)


@dataclass(frozen=True)
class Case:
    """How noisy it is.

    Args:
        noise: Times that of small networks: 0.5 % of the loss.
        relative: Whether the loss is an exponential, of so many times the valley; 0: it is not.
        chaos: Share of the hypergradients that are noise.
    """

    noise: float = 1.0
    relative: float = 0.0
    chaos: float = 0.0


CASES = {
    "plain": Case(),
    "noisy": Case(noise=4.0),
    "chaotic": Case(chaos=0.5),
    "relative": Case(noise=20.0, relative=3.5),
}


class Valley:
    """What a rule asks of an objective.

    Args:
        draw: Which valley.
        budget: Plain runs.
    """

    def __init__(self, draw: int, budget: float, case: Case):
        source, self.draw, self.case = np.random.default_rng(draw), draw, case
        bound = ng.Linear(KNOTS, bounds=(1e-9, 1e3))
        momentum, decay = ng.Constant(bounds=(0.0, 0.9999)), ng.Constant(bounds=(1e-9, 1.0))
        hypers = ng.SGD(bound, momentum=momentum, weight_decay=decay).hyperparameters(1000)
        time = np.linspace(0, 1, KNOTS)
        falling = np.log10(0.5 * (1 + np.cos(0.93 * np.pi * time)))
        shape = falling + source.normal(0, 0.25, KNOTS)
        self.best = np.r_[shape + source.uniform(-2.2, -0.2), source.normal(0, 0.5, 2)]
        together = np.r_[np.ones(KNOTS + 1), 0.0] / (KNOTS + 1) ** 0.5
        alone = 10 ** np.r_[source.uniform(-1.4, -0.4, KNOTS), source.uniform(-1.6, -0.7, 2)]
        self.bent = 1.2 * np.outer(together, together) + np.diag(alone)
        self.heat = np.r_[np.full(KNOTS, 1 / KNOTS), 0.7, 0.0]
        self.edge = float(self.heat @ self.best + source.uniform(0.25, 0.6))
        first = np.full(KNOTS, 1e-3) if case.relative else 0.1 * (1 - time).clip(0.02)
        start = {"learning_rate": torch.from_numpy(first), "momentum": torch.tensor([0.9]).double()}
        initial = ng.Schedule.initial(hypers).with_coefficients(
            {**start, "weight_decay": torch.tensor([5e-4]).double()}
        )
        moving = learned(hypers)
        self.problem: Any = SimpleNamespace(
            learned=moving, moving=moving, hyperparameters=hypers, initial=initial, start=None
        )
        self.problems, self.budget = [self.problem], Budget(budget, 16.0)
        self.evaluated = dict[tuple[object, ...], Evaluated]()

    def place(self, schedule: ng.Schedule) -> Array:
        """In decades: rates, 1 less momentum, decay."""
        rates = np.log10(schedule["learning_rate"].numpy())
        momentum = -1 - math.log10(1 - float(schedule["momentum"]))
        return np.r_[rates, momentum, math.log10(float(schedule["weight_decay"]) / 5e-4)]

    def clean(self, place: Array) -> tuple[float, Array]:
        """Above the optimum, and its slope; up a cliff, to a plateau."""
        away = place - self.best
        root = math.sqrt(1 + away @ self.bent @ away / 0.7)
        over = (self.heat @ place - self.edge) / 0.06
        height = 0.7 * (root - 1) + 0.05 * float(np.logaddexp(0, over))
        slope = self.bent @ away / root + self.heat * 0.05 / 0.06 / (1 + np.exp(-over))
        return (height, slope) if height < PLATEAU else (PLATEAU, 0 * slope)

    def field(self, place: Array, seed: int) -> tuple[float, Array, float]:
        """A seed's own noise, its slope, and by how much more that is beyond the cliff."""
        source = np.random.default_rng((self.draw, seed, 7))
        value, slope = 0.006 * source.normal(), np.zeros(len(place))
        for size, length in ((0.010, 0.8), (0.004, 0.15)):
            ways = source.normal(0, 1 / length, (40, len(place)))
            phase, weight = source.uniform(0, 2 * np.pi, 40), source.normal(0, 0.22 * size, 40)
            value += float(weight @ np.cos(ways @ place + phase))
            slope -= (weight * np.sin(ways @ place + phase)) @ ways
        over = (self.heat @ place - self.edge) / 0.06
        return value, slope, math.exp(min(14.0, max(0.0, over + 2)))

    def told(self, schedule: ng.Schedule, seed: int) -> tuple[float, Array]:
        """The loss of a run and its slope."""
        place = self.place(schedule)
        (height, slope), (value, own, wild) = self.clean(place), self.field(place, seed)
        noise, times = self.case.noise, self.case.relative
        if times:
            loss = 0.09 * math.exp(min(times * height, 3.2) + noise * value)
            slope = loss * (times * slope * (times * height < 3.2) + noise * own)
        else:
            loss, slope = (
                LEVEL + height + noise * value * min(wild, 8.0),
                slope + noise * own * wild,
            )
        source = np.random.default_rng((self.draw, seed, 3))
        if source.random() < self.case.chaos:
            slope = loss * source.normal(0, 10 ** source.uniform(-0.3, 1.0), len(slope))
        return loss, slope

    def regret(self, schedule: ng.Schedule) -> float:
        """Without noise, above the optimum's."""
        height, times = self.clean(self.place(schedule))[0], self.case.relative
        return 0.09 * math.expm1(min(times * height, 3.2)) if times else height

    def seeds(self, stream: int, count: int) -> list[int]:
        return [100_000 * (stream + 2) + index for index in range(count)]

    def price(self, schedule: ng.Schedule) -> float:
        del schedule
        return 1.0

    def sweep_price(self, schedule: ng.Schedule) -> float:
        del schedule
        return SWEEP

    def untrained(self, schedule: ng.Schedule, seed: int) -> float:
        del schedule, seed
        return 0.09 * math.exp(3.2) if self.case.relative else LEVEL + PLATEAU

    def ahead(self, *asked: Any) -> None:
        """Nothing is computed ahead."""

    def rollout(self, schedule: ng.Schedule, seed: int, keep: bool = False) -> Any:
        del keep
        self.budget.check(1.0)
        self.budget.spend(1.0)
        outcome: Any = SimpleNamespace(loss=self.told(schedule, seed)[0], accuracy=None, metrics={})
        self.evaluated.setdefault(schedule.identity, Evaluated(schedule)).add(seed, outcome)
        return SimpleNamespace(outcome=outcome, schedule=schedule, run=SimpleNamespace(seed=seed))

    def differentiate(self, rollout: Any) -> Any:
        self.budget.check(SWEEP)
        self.budget.spend(SWEEP)
        schedule = rollout.schedule
        slope = torch.from_numpy(self.told(schedule, rollout.run.seed)[1]) / LN10
        return SimpleNamespace(
            gradients={
                "learning_rate": slope[:KNOTS] / schedule["learning_rate"],
                "momentum": slope[KNOTS : KNOTS + 1] / (1 - schedule["momentum"]),
                "weight_decay": slope[KNOTS + 1 :] / schedule["weight_decay"],
            }
        )


def searched(valley: Any, rule: ng.ModelSearch) -> tuple[float, float]:
    """Regret of what a search returns, and of its start."""
    state = rule.init(valley.problem.hyperparameters, 1000)
    try:
        while rule.done(state) is None:
            state, _ = rule.step(state, valley)
    except BudgetSpentError:
        state = replace(state, status=Status.budget_spent)
    best, _, _ = select(rule, state, valley, state.status or Status.completed)
    start = rule.fallback(state)
    return valley.regret(best.schedule), valley.regret(start) if start else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--budget", default="40,100")
    parser.add_argument("--draws", type=int, default=40)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rule = ng.ModelSearch(averaging=False)
    for name in options.cases.split(","):
        for budget in map(float, options.budget.split(",")):
            valleys = [Valley(draw, budget, CASES[name]) for draw in range(options.draws)]
            rows = [searched(valley, rule) for valley in valleys]
            ends, starts = ([row[k] for row in rows] for k in (0, 1))
            error = statistics.stdev(ends) / len(ends) ** 0.5
            spent = statistics.fmean(valley.budget.spent for valley in valleys)
            print(
                f"| {name} | {budget:g} | {statistics.fmean(ends):.4f} ± {error:.4f} | "
                f"{statistics.fmean(starts):.4f} | {spent:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
