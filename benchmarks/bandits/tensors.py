"""Tensors of order 3 and rank one: what grows with which power of the dimension, and when."""

from __future__ import annotations

import torch
from torch import Tensor

from nongreedy import bandits

from ._cells import Cells, show
from ._crossing import crossing, growth

LEVEL, FIRST = 0.75, 1000  # seeds on which nothing was ever chosen
CLASSES = {
    "SYM": (bandits.SymmetricTensorBandit, bandits.PhasedElimination(3)),
    "ASYM": (bandits.TensorBandit, bandits.AlternatingSlots()),
}


def curves(name: str, d: int, rounds: int, seeds: int) -> dict[str, list]:
    """Rewards of choices at places on a logarithmic axis, and regret at the last power of ten and before."""
    kind, policy = CLASSES[name]
    places = torch.logspace(2, torch.log10(torch.tensor(float(rounds))).item(), 200).long()
    found, regrets = [], []
    for seed in range(FIRST, FIRST + seeds):
        played = bandits.play(kind.planted(d, [1.0], 3, seed), policy, rounds, seed)
        found.append(played.reward_after(places).tolist())
        at = torch.searchsorted(played.plays, torch.tensor([rounds // 10, rounds]))
        regrets.append(played.regret[at.clamp(max=len(played.plays) - 1)].tolist())
    return {"places": places.tolist(), "rewards": found, "regrets": regrets}


def main(
    cells: Cells,
    dimensions: tuple[int, ...] = (6, 8, 12, 16, 24, 32),
    rounds: int = 10_000_000,
    seeds: int = 16,
) -> None:
    rows: list[list[object]] = []
    for name in CLASSES:
        told = {
            d: cells.get(f"tensors/{name}/{d}/{rounds}/{seeds}",
                         lambda name=name, d=d: curves(name, d, rounds, seeds))
            for d in dimensions
        }  # fmt: skip
        places = [torch.tensor(told[d]["places"]) for d in dimensions]
        values = [torch.tensor(told[d]["rewards"], dtype=torch.float64) for d in dimensions]
        reached = [f"{crossing(*pair, LEVEL):,.0f}" for pair in zip(places, values, strict=True)]
        regrets = torch.tensor([told[d]["regrets"] for d in dimensions], dtype=torch.float64)
        burned, late = regrets[..., 0], regrets[..., 1] - regrets[..., 0]
        rows += [
            [name, "plays until the median reward is 0.75", *reached,
             growth(list(dimensions), places, values, LEVEL)],
            [name, "regret of the first tenth", *_row(burned, dimensions)],
            [name, "regret of the other nine", *_row(late, dimensions)],
        ]  # fmt: skip
    show(["class", "what", *(f"d = {d}" for d in dimensions), "slope in d [95 %]"], rows)


def _row(found: Tensor, dimensions: tuple[int, ...]) -> list[object]:
    """Medians over seeds, and the slope of the mean."""
    medians = [f"{value:,.0f}" for value in found.median(1).values.tolist()]
    return [*medians, bandits.slope(torch.tensor(dimensions), found.T)]
