"""Short horizons: the crossover against what is not adaptive, what is optimistic, and Thompson sampling."""

from __future__ import annotations

import math
from importlib.util import find_spec

import torch

from nongreedy import bandits

from ._cells import Cells, show

PLACES = (300, 1000, 3000, 10_000, 30_000)
# Plays beyond which a policy is not played.
SLOW: dict[type[bandits.Policy], int] = {
    bandits.LinearUCB: 10_000, bandits.LowRankThompson: 10_000, bandits.Nevergrad: 10_000,
    bandits.BoTorch: 1000,
}  # fmt: skip
RIVALS = {"nevergrad": ("nevergrad, TBPSA", bandits.Nevergrad()),
          "botorch": ("BoTorch, Gaussian process, Thompson", bandits.BoTorch())}  # fmt: skip
CASES = {
    "quadratic, d = 8": (lambda seed: bandits.QuadraticBandit.planted(8, [1.0], seed), 1),
    "low rank, 10 x 10, k = 2": (
        lambda seed: bandits.LowRankBandit.planted((10, 10), [0.8, 0.6], seed), 2,
    ),
}  # fmt: skip


def methods(vectors: bool, rank: int) -> dict[str, bandits.Policy]:
    ours: dict[str, bandits.Policy] = {"default": bandits.LowRankPower(rank=rank)}
    if vectors:
        ours = {"default": bandits.NoisyPower(), "non-adaptive moments": bandits.Moments()}
    installed = dict(each for package, each in RIVALS.items() if find_spec(package))
    return ours | {
        "LinUCB, 2,000 actions": bandits.LinearUCB(),
        "LinUCB, a tenth of its width": bandits.LinearUCB(width=0.1),
        "Thompson, low rank": bandits.LowRankThompson(rank=rank),
        **installed,
        "random": bandits.Uniform(),
    }


def curve(make, policy: bandits.Policy, seeds: int) -> list[list[float]]:
    rounds = SLOW.get(type(policy), PLACES[-1])
    rows = []
    for seed in range(seeds):
        played = bandits.play(make(seed), policy, rounds, seed)
        at = torch.searchsorted(played.plays, torch.tensor(PLACES)).clamp(max=len(played.plays) - 1)
        rows.append([
            float(played.regret[k]) if place <= rounds else -1.0
            for k, place in zip(at.tolist(), PLACES, strict=True)
        ])  # fmt: skip
    return rows


def main(cells: Cells, seeds: int = 3) -> None:
    for case, (make, rank) in CASES.items():
        rows: list[list[object]] = []
        for name, policy in methods(make(0).ball.size == 8, rank).items():
            said = cells.get(
                f"short/{case}/{name}/{seeds}", lambda m=make, p=policy: curve(m, p, seeds)
            )
            table = torch.tensor(said, dtype=torch.float64)
            means, errors = table.mean(0).tolist(), (table.std(0) / math.sqrt(seeds)).tolist()
            known = table[:, (table >= 0).all(0)]
            places = torch.tensor(PLACES[: known.shape[1]])
            grows = bandits.slope(places[1:], known[:, 1:]) if len(places) > 2 else "two places"
            rows.append([name, *(f"{m:,.0f} ± {e:,.0f}" if m >= 0 else "not played"
                                 for m, e in zip(means, errors, strict=True)),
                         grows])  # fmt: skip
        print(case)
        show(["policy", *(f"T = {place:,}" for place in PLACES), "slope from 1,000 [95 %]"], rows)
