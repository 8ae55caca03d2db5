"""BD4, BD5 and BD7 in full: no gap; the matrix recovered; networks identified."""

from __future__ import annotations

import math
import statistics
import time

import torch

from nongreedy import bandits
from nongreedy.bandits.policies._identify import identify
from nongreedy.protocols import generator

from ._cells import Cells, show


def gapless(seeds: int) -> list[float]:
    problems = [bandits.QuadraticBandit.planted(8, [1.0, 1.0], seed) for seed in range(seeds)]
    policy = bandits.SubspaceIteration(rank=2)
    return [bandits.play(each, policy, 1_000_000, seed).final for seed, each in enumerate(problems)]


def recovered(seeds: int) -> list[float]:
    told = []
    for seed in range(seeds):
        problem = bandits.LowRankBandit.planted((10, 10), [0.8, 0.6], seed)
        played = bandits.play(problem, bandits.LowRankPower(rank=2), 30_000_000, seed)
        told.append(float((played.choice - problem.best()[1]).norm()))
    return told


def identified(d: int, k: int, p: int, seeds: int) -> list[float]:
    """Worst error of the network on fresh actions, worst regret, worst and median seconds to solve."""
    error, regret, seconds = 0.0, 0.0, list[float]()
    for seed in range(seeds):
        planted = bandits.PolynomialBandit.planted(d, (p,) * k, seed)
        # So that no two rewards are more than 1 apart.
        values = planted.values / (2 * planted.values.abs().sum())
        problem = bandits.PolynomialBandit(values, planted.vectors, planted.degrees)
        actions = problem.ball.sphere(2 * d * k + 1, generator(seed, 1))
        begun = time.perf_counter()
        network = identify(actions, problem.mean(actions), problem.degrees, generator(seed, 2))
        seconds.append(time.perf_counter() - begun)
        fresh = problem.ball.sphere(1000, generator(seed, 3))
        error = max(error, float((network.mean(fresh) - problem.mean(fresh)).abs().max()))
        played = bandits.play(
            problem, bandits.PolynomialIdentification(problem.degrees), 2000, seed
        )
        regret = max(regret, float(played.regret[-1]))
    return [error, regret, max(seconds), statistics.median(seconds)]


def main(cells: Cells, seeds: int = 20) -> None:
    level = cells.get(f"matrix/gapless/{seeds}", lambda: gapless(seeds))
    far = cells.get(f"matrix/recovered/{seeds}", lambda: recovered(seeds))
    show(["test", "median", "worst", "bar"], [
        ["BD4: reward without a gap, 1e6 plays", f"{torch.tensor(level).median():.3f}",
         f"{min(level):.3f}", ">= 0.9"],
        ["BD5: distance to the best matrix, 3e7 plays", f"{torch.tensor(far).median():.3f}",
         f"{max(far):.3f}", "<= 0.2"],
    ])  # fmt: skip
    rows: list[list[object]] = []
    for d, k, p in ((10, 2, 2), (10, 2, 3), (20, 2, 3), (10, 3, 3)):
        told = cells.get(f"matrix/identified/{d}/{k}/{p}/{seeds}",
                         lambda d=d, k=k, p=p: identified(d, k, p, seeds))  # fmt: skip
        rows.append([f"({d}, {k}, {p})", 2 * d * k + 1, math.comb(d + p - 1, p), f"{told[0]:.1e}",
                     f"{told[1]:.0f}", f"{told[2]:.2f}", f"{told[3]:.2f}"])  # fmt: skip
    show(["BD7 (d, k, p)", "samples", "lifted dimension", "worst error", "worst regret", "worst s",
          "median s"], rows)  # fmt: skip
