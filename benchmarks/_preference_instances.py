"""EV3: the pipeline against exact enumeration on the specification's forty instances."""

from __future__ import annotations

import argparse
import time

import torch

from nongreedy.preference import Belief, Catalogue, Gaussian
from nongreedy.preference._value import in_sample
from nongreedy.preference.strategies import Exact, Greedy, Relaxed, Strategy
from nongreedy.preference.strategies._relaxed import climb
from nongreedy.protocols import generator

from ._preference_rows import Rows

SIZES = [(40, 4, 2, 1.0), (40, 4, 2, 0.2), (40, 10, 2, 0.2), (20, 4, 3, 0.2), (100, 10, 2, 0.2)]
SEEDS = 8


def instance(items: int, attributes: int, tau: float, seed: int) -> tuple[Belief, Catalogue]:
    """Unit-norm items; u ~ N(z / 2, I), z drawn once."""
    source = generator(seed, 999)
    points = torch.randn(items, attributes, generator=source, dtype=torch.float64)
    mean = torch.randn(attributes, generator=source, dtype=torch.float64) / 2
    prior = Gaussian(mean, torch.eye(attributes))
    belief = Belief(prior, noise=tau, samples=300, seed=seed)
    return belief, Catalogue(points / points.norm(dim=1, keepdim=True))


def ratios(size: tuple[int, int, int, float], seed: int) -> dict[str, float]:
    """EVOI of each strategy's question as a share of the best, and seconds."""
    n, d, slots, tau = size
    belief, items = instance(n, d, tau, seed)
    found, strategies = {}, {"exact": Exact(), "relaxed": Relaxed(), "greedy": Greedy()}
    for name, strategy in strategies.items():
        found |= _judged(name, belief, items, strategy, slots, seed)
    found["nearest"] = _nearest(belief, items, slots, seed)
    best = found["exact"]
    return {k: v / best if not k.endswith("seconds") else v for k, v in found.items()}


def _judged(
    name: str, belief: Belief, items: Catalogue, strategy: Strategy, slots: int, seed: int
) -> dict[str, float]:
    started = time.perf_counter()
    query = strategy.choose(belief, items, slots, seed)
    seconds = time.perf_counter() - started
    value = float(in_sample(belief, query.points[None], items)[0])
    return {name: value, f"{name} seconds": seconds}


def _nearest(belief: Belief, items: Catalogue, slots: int, seed: int) -> float:
    """Gradient from Gaussian starts, rounded to the nearest items: what rounding alone loses."""
    source = generator(seed, 998)
    begun = torch.randn(12, slots, items.points.shape[1], generator=source, dtype=torch.float64)
    slates = begun
    for reach, steps, rate in ((items.relaxed, 30, 0.1), (items, 40, 0.05)):
        slates = climb(belief, slates, reach, items, rate, [1.0] * steps)
    best = slates[int(in_sample(belief, slates, items).argmax())]
    return float(in_sample(belief, items.round(best)[None], items)[0])


def instances(rows: Rows, options: argparse.Namespace) -> list[str]:
    """The table."""
    del options
    lines = ["n, d, k, tau | nearest item | greedy | relaxed, mean / minimum | ms: relaxed, exact"]
    for size in SIZES:
        found = [
            rows.get(f"instance|{size}|{seed}", lambda size=size, seed=seed: ratios(size, seed))
            for seed in range(SEEDS)
        ]
        cells = [
            f"{sum(row[name] for row in found) / SEEDS:.3f} / {min(row[name] for row in found):.4f}"
            for name in ("nearest", "greedy", "relaxed")
        ]
        times = [
            f"{1e3 * sum(row[f'{name} seconds'] for row in found) / SEEDS:.0f}"
            for name in ("relaxed", "exact")
        ]
        lines.append(f"{size} | {' | '.join(cells)} | {', '.join(times)}")
    return lines
