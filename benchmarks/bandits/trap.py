"""BD8: rewards that are products of p coordinates, where every optimistic policy plays all vertices."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from nongreedy import bandits
from nongreedy.protocols import generator

from ._cells import Cells, show

CASES = ((12, 2), (10, 3), (16, 2), (12, 3))


def trap(dimension: int, degree: int) -> tuple[list[tuple[int, ...]], Tensor]:
    """All sets of coordinates, and the vertex of each."""
    subsets = list(itertools.combinations(range(dimension), degree))
    vertices = torch.zeros(len(subsets), dimension, dtype=torch.float64)
    for row, subset in enumerate(subsets):
        vertices[row, list(subset)] = 1 / math.sqrt(degree)
    return subsets, vertices


def optimistic(dimension: int, degree: int) -> tuple[int, float]:
    """Plays before an optimistic policy knows, in the worst case and on average over the sets."""
    subsets, vertices = trap(dimension, degree)
    table = torch.stack([vertices[:, list(s)].prod(1) for s in subsets])
    counts = []
    for row in range(len(subsets)):
        policy = bandits.EluderUCB(table, vertices)
        plan = policy.plan(bandits.Ball((dimension,)), generator(0))
        batch, plays = next(plan), 0
        while batch.choice is None:
            place = int((vertices - batch.actions[0]).abs().sum(1).argmin())
            batch, plays = plan.send(table[row, place].reshape(1, 1)), plays + 1
        counts.append(plays)
    return max(counts), sum(counts) / len(counts)


def ours(dimension: int, degree: int, seed: int) -> int:
    """Plays of random actions until their rewards, without noise, leave one set."""
    subsets, _ = trap(dimension, degree)
    left, draw, plays = set(subsets), generator(seed, 64), 0
    truth = subsets[int(torch.randint(len(subsets), (1,), generator=draw))]
    while len(left) > 1:
        action = bandits.Ball((dimension,)).sphere(1, draw)[0]
        reward = action[list(truth)].prod()
        left = {s for s in left if bool((action[list(s)].prod() - reward).abs() < 1e-12)}
        plays += 1
    assert left == {truth}
    return plays


def main(cells: Cells, seeds: int = 20) -> None:
    rows: list[list[object]] = []
    for d, p in CASES:
        worst, mean = cells.get(f"trap/{d}/{p}", lambda d=d, p=p: list(optimistic(d, p)))
        most = cells.get(
            f"trap/ours/{d}/{p}", lambda d=d, p=p: max(ours(d, p, s) for s in range(seeds))
        )
        rows.append([f"d = {d}, p = {p}", math.comb(d, p) - 1, worst, f"{mean:.1f}", most])
    show(
        ["case", "C(d, p) - 1", "optimism, worst", "optimism, mean", "random actions, worst"], rows
    )
