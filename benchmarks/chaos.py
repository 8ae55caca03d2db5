"""How hypergradients of the learning rate grow where training becomes chaotic.

    python -m benchmarks.chaos

Experiment E7 of reversible learning (arXiv:1502.03492, section on chaos): an MLP 784-200-50-10 with
tanh, the first 1,000 MNIST images in four batches by turns, 50 steps, momentum 0.9, weights and biases
drawn with deviation e^-2. The paper's velocity is a mean of gradients, ``v <- gamma v - (1 - gamma) g``
and ``w <- w + alpha v``: in PyTorch's form the learning rate is ``alpha (1 - gamma)``. Log alpha is
natural, and derivatives are by it. Images are as they are, from 0 to 1: with the mean image subtracted
the same network stays smooth up to log alpha 2.1 (second table), unlike the paper's.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import nongreedy as ng

from . import mnist

STEPS, COUNT, BATCH, MOMENTUM, SCALE = 50, 1000, 250, 0.9, math.exp(-2)
RATES = [0.5 + 2.0 * k / 39 for k in range(40)]  # natural logarithms of alpha
SMOOTH, ROUGH = (
    1.4,
    1.9,
)  # left of the first the derivative keeps its sign, right of the second grows


@dataclass(frozen=True)
class Point:
    """What one run found: the training loss at its end, and its derivative by log alpha."""

    log_rate: float
    loss: float
    slope: float


def by_turns(inputs: Tensor, targets: Tensor, hypers: ng.Hypers) -> tuple[Tensor, Tensor]:
    """Batches in the data's own order."""
    low = BATCH * hypers.step % COUNT
    return inputs[low : low + BATCH], targets[low : low + BATCH]


def make_task(data: tuple[Tensor, Tensor], seed: int, centred: bool = False) -> ng.Task:
    """The network judged by its training loss.

    Pixels that are zero in every image are left out: nothing depends on their weights.
    """
    images, labels = data[0][:COUNT].flatten(1), data[1][:COUNT]
    seen = images.any(0)
    images = images - images.mean(0) if centred else images

    def network() -> nn.Module:
        sizes = [images.shape[1], 200, 50, 10]
        first, second, third = (nn.Linear(*pair) for pair in itertools.pairwise(sizes))
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (first, second, third):
                for parameter in layer.parameters():
                    parameter.normal_(0, SCALE, generator=source)
            first.weight = nn.Parameter(first.weight[:, seen])
        return nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), third)

    kept = images[:, seen], labels
    return ng.Task(
        network, functional.cross_entropy, kept, kept, batch_size=COUNT, prepare=by_turns
    )


def point(
    task: ng.Task, log_rate: float, engine: ng.Engine, dtype: torch.dtype = torch.float64
) -> Point:
    """One run and its derivative."""
    rate = (1 - MOMENTUM) * math.exp(log_rate)
    optimizer = ng.SGD(ng.Constant(initial=rate, bounds=(1e-3, 10.0)), momentum=MOMENTUM)
    found = ng.hypergradient(task, optimizer, steps=STEPS, engine=engine, dtype=dtype)
    return Point(log_rate, found.value, found.gradients["learning_rate"].item() * rate)


def sides(points: list[Point]) -> tuple[list[Point], list[Point]]:
    """Those on the smooth side, and those on the rough one."""
    left = [p for p in points if p.log_rate < SMOOTH]
    return left, [p for p in points if p.log_rate > ROUGH]


def row(points: list[Point], name: str) -> str:
    """The acceptance test's quantities of one sweep."""
    left, right = sides(points)
    smooth = max(abs(p.slope) for p in left)
    sizes = sorted(abs(p.slope) for p in right)
    best = min(points, key=lambda p: p.loss)
    signs = sum(p.slope < 0 for p in left), sum(p.slope > 0 for p in right)
    return (
        f"| {name} | {signs[0]} of {len(left)} | {smooth:.3g} | {signs[1]} of {len(right)} | "
        f"{sizes[0]:.2g}, {sizes[len(sizes) // 2]:.2g}, {sizes[-1]:.2g} | "
        f"{sizes[len(sizes) // 2] / smooth:.2g} | {best.loss:.5f} at {best.log_rate:.2f} |"
    )


def print_points(title: str, points: list[Point]) -> None:
    """One line per rate."""
    print(f"\n| log alpha ({title}) | loss | derivative by log alpha |\n|---|---|---|")
    for p in points:
        print(f"| {p.log_rate:.2f} | {p.loss:.5f} | {p.slope:.3g} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=mnist.FOLDER)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, begin = mnist.read(options.data), time.perf_counter()
    engine = ng.Reversible(growth_limit=math.inf)  # how far derivatives grow is the question
    sweeps = {}
    for seed in range(options.seeds):
        task = make_task(data, seed)
        sweeps[f"{seed}"] = [point(task, log_rate, engine) for log_rate in RATES]
        print_points(f"seed {seed}", sweeps[f"{seed}"])
    task = make_task(data, 0, centred=True)
    sweeps["0, mean image subtracted"] = [point(task, log_rate, engine) for log_rate in RATES[::4]]
    print_points(
        "seed 0, mean image subtracted, every fourth rate", sweeps["0, mean image subtracted"]
    )
    print(
        f"\n| seed | negative left of {SMOOTH} | largest size there | positive right of {ROUGH} | "
        "sizes there: least, median, largest | median to largest left | best loss |"
    )
    print("|---|---|---|---|---|---|---|")
    print("\n".join(row(points, name) for name, points in sweeps.items()))
    print(f"\n{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
