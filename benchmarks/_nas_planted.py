"""Planted tasks: of two branches one needs the larger choice by construction, and the budget pays for one.

Images are textures of noise added to its own shifted copy; the sign of the addition is to be told. A shift
by 4 needs a 5x5 kernel, by 1 a 3x3 one; many directions need many channels; what is in the mean of the
pixels needs no layer at all. Which branch needs it is drawn by the seed, and the costs are symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nongreedy import nas
from nongreedy.nas._data import Data
from nongreedy.protocols import generator

SIDE, EXAMPLES, HELD = 12, 1024, 512
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


class Branches(nn.Module):
    """Two searched layers side by side, each on a channel of its own."""

    def __init__(self, layers: list[nas.MBConv], channels: int, classes: int):
        super().__init__()
        self.stems = nn.ModuleList(
            nn.Sequential(nn.Conv2d(1, channels, 1), nn.BatchNorm2d(channels)) for _ in layers
        )
        self.layers = nn.ModuleList(layers)
        self.classify = nn.Linear(sum(layer.project.out_channels for layer in layers), classes)

    def forward(self, x: Tensor) -> Tensor:
        rows = [
            layer(stem(x[:, place, None])).mean((2, 3))
            for place, (stem, layer) in enumerate(zip(self.stems, self.layers, strict=True))
        ]
        return self.classify(torch.cat(rows, 1))


@dataclass(frozen=True)
class Kind:
    """What is planted.

    Attributes:
        options: Of both layers.
        channels: Of their inputs.
        classes: That the branch in need tells apart; the other one tells 2.
    """

    options: dict
    channels: int
    classes: int


KINDS = {
    "kernel": Kind({"kernels": (3, 5), "expansions": (3,)}, 4, 2),
    "expansion": Kind({"kernels": (3,), "expansions": (2, 8)}, 1, 8),
    "layer": Kind({"kernels": (3,), "expansions": (3,), "skippable": True}, 4, 2),
}


def texture(noise: Tensor, shift: tuple[int, int], sign: Tensor) -> Tensor:
    moved = torch.roll(noise, shift, (1, 2))
    return (noise + 0.9 * sign[:, None, None] * moved) / 1.81**0.5


def branch_in_need(kind: str, label: Tensor, noise: Tensor) -> Tensor:
    if kind == "expansion":  # four directions, each with a sign
        rows = [texture(noise, way, 2.0 * (label % 2) - 1) for way in DIRECTIONS]
        return torch.stack(rows)[label // 2, torch.arange(len(label))]
    return texture(noise, (0, 4) if kind == "kernel" else (0, 1), 2.0 * label - 1)


def branch_without(kind: str, label: Tensor, noise: Tensor) -> Tensor:
    if kind == "layer":  # in the mean of the pixels
        return noise + 0.3 * (2.0 * label - 1)[:, None, None]
    return texture(noise, (0, 1), 2.0 * label - 1)


def examples(kind: str, needy: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    draw, classes = generator(seed), KINDS[kind].classes
    a = torch.randint(classes, (count,), generator=draw)
    b = torch.randint(2, (count,), generator=draw)
    noise = torch.randn(2, count, SIDE, SIDE, generator=draw)
    rows = [branch_in_need(kind, a, noise[0]), branch_without(kind, b, noise[1])]
    return torch.stack(rows if needy == 0 else rows[::-1], 1), 2 * a + b


def plant(kind: str, gate: nas.Gate, seed: int) -> tuple[nas.SuperNet, nas.CostTable, int]:
    """The network, symmetric costs, and which branch is in need."""
    rule = KINDS[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        out = rule.channels if "skippable" in rule.options else 8
        layers = [nas.MBConv(rule.channels, out, **rule.options) for _ in range(2)]
        net = nas.SuperNet(Branches(layers, rule.channels, 2 * rule.classes), (2, SIDE, SIDE), gate)
    table = nas.CostTable(net.space, ((1.0, 2.0),) * 2, unit="units")
    return net, table, seed % 2


def planted_search(
    kind: str, gate: nas.Gate, level: nas.Level, seed: int, recipe: nas.Recipe
) -> dict[str, object]:
    """Whether the branch in need got the larger choice, and the other one did not."""
    net, table, needy = plant(kind, gate, seed)
    learn = examples(kind, needy, EXAMPLES, 2 * seed + 1000)
    held = examples(kind, needy, HELD, 2 * seed + 1001)
    found = nas.search(
        net, learn, held, target=3.0, table=table, level=level, seed=seed, room=0.01,
        recipe=recipe, final=nas.Recipe(steps=1), judges=HELD,
    )  # fmt: skip
    sizes = [
        net.space.layers[k].choices().index(c) for k, c in enumerate(found.architecture.choices)
    ]
    opened = [sum(row) for row in found.averages]
    # Without the flips that validation losses judge: by the averages of the gates alone.
    averages = [torch.tensor(row) for row in found.averages]
    readout = nas.Readout(net, averages, Data.of(held, "held"), nas.Recipe().loss, 64)
    ranked = readout.ranked(table, 3.0, 3.0)
    by_gates = [net.space.layers[k].choices().index(c) for k, c in enumerate(ranked.choices)]
    wanted = [int(place == needy) for place in range(2)]
    return {
        "right": sizes == wanted, "right_by_gates": by_gates == wanted and opened[0] != opened[1],
        "opened": opened, "needy": needy,
        "decided": [round(a) for a in opened] == wanted,
    }  # fmt: skip
