"""Reinforcement learning with a simulator: calls to a gap of 0.05 against the dimension."""

from __future__ import annotations

import torch

from nongreedy.bandits import simulator

from ._cells import Cells, show
from ._crossing import crossing, growth

GAP, STATES, HORIZON = 0.05, 2, 3
METHODS = {
    "low rank, 2": simulator.LowRank(rank=2, steps=3),
    "all products, least squares": simulator.Lifted(),
}
DIMENSIONS = (8, 12, 16, 20)


def sizes(name: str, d: int) -> list[int]:
    """Of samples for each step, around where the gap is reached, a factor of the root of 2 apart."""
    middle = 100 * d**2 if name.startswith("low") else 6 * d**3
    return [round(middle * 2 ** (k / 2)) for k in range(-3, 4)]


def gaps(method: simulator.Regression, d: int, samples: int, seeds: int) -> dict[str, object]:
    told = []
    for seed in range(seeds):
        process = simulator.QuadraticProcess.planted(d, STATES, HORIZON, seed)
        told.append(simulator.value_iteration(process, method, samples, seed))
    return {"calls": told[0].samples, "gaps": [each.gap for each in told]}


def main(cells: Cells, seeds: int = 11) -> None:
    rows: list[list[object]] = []
    for name, method in METHODS.items():
        places, values = [], []
        for d in DIMENSIONS:
            told = [
                cells.get(f"simulator/{name}/{d}/{n}/{seeds}",
                          lambda m=method, d=d, n=n: gaps(m, d, n, seeds))
                for n in sizes(name, d)
            ]  # fmt: skip
            places.append(torch.tensor([each["calls"] for each in told]))
            values.append(-torch.tensor([each["gaps"] for each in told], dtype=torch.float64).T)
        found = [crossing(p, v, -GAP) for p, v in zip(places, values, strict=True)]
        slope = growth(list(DIMENSIONS), places, values, -GAP)
        rows.append([name, *(f"{each:,.0f}" for each in found), slope])
    show(["action values", *(f"d = {d}" for d in DIMENSIONS), "slope [95 %]"], rows)
