"""BD2: plays to a median reward of 0.75, rank one, noise 1, against the dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from nongreedy import bandits
from nongreedy.bandits import zeroth
from nongreedy.protocols import generator

from ._cells import Cells, show
from ._crossing import crossing, growth

LEVEL, STEPS = 0.75, 16
# Plays of a step over d^2: each method takes the best of these for each dimension.
SIZES = {"printed": (22.6, 32, 45.3, 64), "tangent sphere": (4, 5.7, 8, 11.3)}
METHODS = {"printed": zeroth.OnePoint(), "tangent sphere": zeroth.TangentSphere()}


def powered(estimator: zeroth.Estimator, d: int, size: float, seeds: int) -> tuple[Tensor, Tensor]:
    """Reward after each step of equal size: places (STEPS,), values (seeds, STEPS)."""
    plays = round(size * d**2)
    policy = bandits.PowerThenCommit(accuracy=0.5, plays=plays, steps=STEPS, estimator=estimator)
    problems = [bandits.QuadraticBandit.planted(d, [1.0], seed) for seed in range(seeds)]
    rounds = plays * STEPS + 1
    played = [bandits.play(each, policy, rounds, seed) for seed, each in enumerate(problems)]
    places = plays * torch.arange(1, STEPS + 1)
    return places, torch.stack([each.reward_after(places) for each in played])


def moments(d: int, seeds: int, most: int) -> tuple[Tensor, Tensor]:
    """Reward of the top eigenvector of mean r a a' after more and more random plays."""
    places = (2 * d * 2.0 ** (torch.arange(60) / 2)).long()
    places = places[places <= most]
    rows = []
    for seed in range(seeds):
        problem, draw = bandits.QuadraticBandit.planted(d, [1.0], seed), generator(seed, 64)
        total, done, found = torch.zeros(d, d, dtype=torch.float64), 0, []
        for place in places.tolist():
            actions = problem.ball.sphere(place - done, draw)
            heard = problem.rewards(actions, draw)
            total += (actions * heard[:, None]).T @ actions
            done = place
            vector = torch.linalg.eigh(total)[1][:, -1]
            found.append(float(problem.mean(vector[None])))
        rows.append(found)
    return places, torch.tensor(rows, dtype=torch.float64)


def default(d: int, seeds: int, rounds: int) -> tuple[Tensor, Tensor]:
    """Reward of the default policy's choice, exploitation counted."""
    places = torch.logspace(2, torch.log10(torch.tensor(float(rounds))).item(), 120).long()
    problems = [bandits.QuadraticBandit.planted(d, [1.0], seed) for seed in range(seeds)]
    policy = bandits.NoisyPower()
    played = [bandits.play(each, policy, rounds, seed) for seed, each in enumerate(problems)]
    return places, torch.stack([each.reward_after(places) for each in played])


def main(cells: Cells, dimensions: tuple[int, ...] = (8, 16, 32), seeds: int = 25) -> None:
    rows: list[list[object]] = []

    def kept(name: str, make) -> tuple[Tensor, Tensor]:
        said = cells.get(name, lambda: [each.tolist() for each in make()])
        return torch.tensor(said[0]), torch.tensor(said[1], dtype=torch.float64)

    def add(name: str, curves: list[tuple[Tensor, Tensor]]) -> None:
        slope = growth(list(dimensions), *map(list, zip(*curves, strict=True)), LEVEL)
        found = [f"{crossing(*curve, LEVEL):,.0f}" for curve in curves]
        rows.append([name, *found, slope])

    for method, estimator in METHODS.items():
        best = []
        for d in dimensions:
            tried = [
                kept(f"dimension/{method}/{d}/{size}/{seeds}",
                     lambda e=estimator, d=d, s=size: powered(e, d, s, seeds))
                for size in SIZES[method]
            ]  # fmt: skip
            best.append(min(tried, key=lambda curve: crossing(*curve, LEVEL)))
        add(f"power, {method}, best step size", best)
    add("power, default, nothing known", [
        kept(f"dimension/default/{d}/{seeds}", lambda d=d: default(d, seeds, 400_000)) for d in dimensions
    ])  # fmt: skip
    add("non-adaptive moments", [
        kept(f"dimension/moments/{d}/{seeds}", lambda d=d: moments(d, seeds, 6 * d**3)) for d in dimensions
    ])  # fmt: skip
    show(["method", *(f"d = {d}" for d in dimensions), "slope [95 %]"], rows)
