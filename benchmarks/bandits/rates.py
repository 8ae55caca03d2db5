"""Regret against horizon and dimension for each class, the default policies beside the printed ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from nongreedy import bandits
from nongreedy.bandits import zeroth

from ._cells import Cells, show


@dataclass(frozen=True)
class Class:
    """A class of problems, its two policies, and exponents in T and d of theorem and lower bound."""

    make: Callable[[int, int], bandits.Bandit]  # dimension, seed
    default: bandits.Policy
    printed: bandits.Policy
    theorem: tuple[str, str]
    bound: tuple[str, str]


Q, S = bandits.QuadraticBandit.planted, bandits.SymmetricTensorBandit.planted
GAUSSIAN = zeroth.GaussianDirections()
CLASSES = {
    "EV, gap": Class(
        lambda d, seed: Q(d, [1.0, 0.5], seed), bandits.NoisyPower(),
        bandits.NoisyPower(estimator=zeroth.OnePoint()), ("0.50", "1.00"), ("0.50", "1.00"),
    ),
    "EV, no gap, k = 2": Class(
        lambda d, seed: Q(d, [1.0, 1.0], seed), bandits.SubspaceIteration(rank=2),
        bandits.SubspaceIteration(rank=2, estimator=zeroth.OnePoint()),
        ("0.67", "0.67"), ("0.50", "1.00"),
    ),
    "LR, k = 2": Class(
        lambda d, seed: bandits.LowRankBandit.planted((d, d), [0.8, 0.6], seed),
        bandits.LowRankPower(rank=2), bandits.LowRankPower(rank=2, directions=GAUSSIAN),
        ("0.50", "1.00"), ("0.50", "1.00"),
    ),
    "SYM, p = 3, k = 2": Class(
        lambda d, seed: S(d, [1.0, 0.7], 3, seed), bandits.PhasedElimination(3),
        bandits.PhasedElimination(3, estimator=zeroth.TwoPoint(3)), ("0.50", "1.50"), ("0.50", "1.50"),
    ),
    "ASYM, p = 3, k = 2": Class(
        lambda d, seed: bandits.TensorBandit.planted(d, [1.0, 0.7], 3, seed),
        bandits.AlternatingSlots(), bandits.AlternatingSlots(directions=GAUSSIAN),
        ("0.50", "1.50"), ("0.50", "1.50"),
    ),
}  # fmt: skip
DIMENSIONS = (6, 8, 12, 16)


def regrets(make, policy: bandits.Policy, d: int, rounds: int, seeds: int) -> dict[str, object]:
    """Summed regret at 12 places of the last two powers of ten, of every seed."""
    played = [bandits.play(make(d, seed), policy, rounds, seed) for seed in range(seeds)]
    places = torch.logspace(-2, 0, 12) * rounds
    at = torch.searchsorted(played[0].plays, places.long()).clamp(max=len(played[0].plays) - 1)
    rows = torch.stack([each.regret[at] for each in played])
    return {"plays": played[0].plays[at].tolist(), "regret": rows.tolist(),
            "final": [each.final for each in played]}  # fmt: skip


def main(cells: Cells, rounds: int = 10_000_000, seeds: int = 8) -> None:
    rows: list[list[object]] = []
    for name, each in CLASSES.items():
        for kind, policy in (("default", each.default), ("printed", each.printed)):
            told = {
                d: cells.get(f"rates/{name}/{kind}/{d}/{rounds}/{seeds}",
                             lambda d=d, e=each, p=policy: regrets(e.make, p, d, rounds, seeds))
                for d in DIMENSIONS
            }  # fmt: skip
            plays = torch.tensor(told[8]["plays"])
            curve = torch.tensor(told[8]["regret"], dtype=torch.float64)
            ends = torch.stack(
                [torch.tensor(told[d]["regret"]).double()[:, -1] for d in DIMENSIONS], 1
            )
            error = float(curve[:, -1].std()) / seeds**0.5
            late = plays >= rounds / 10
            rows.append([
                name, kind, f"{float(curve[:, -1].mean()):,.0f} ± {error:,.0f}",
                bandits.slope(plays[late], curve[:, late]), each.theorem[0], each.bound[0],
                bandits.slope(torch.tensor(DIMENSIONS), ends), each.theorem[1], each.bound[1],
                f"{torch.tensor(told[8]['final']).median():.3f}",
            ])  # fmt: skip
    show(["class", "policy", "regret, d = 8", "slope in T [95 %]", "theorem", "lower bound",
          "slope in d [95 %]", "theorem", "lower bound", "reward found"], rows)  # fmt: skip
