"""Banks of ring gates whose optimum is known: SP4, SP6 and SP7 of the specification.

A gate's ring w is worth having if it comes near its target v: the loss is sum 1/2 |s w - v|^2 plus
Lambda ln R. Without its ring a gate loses 1/2 |v|^2. All instances run as one batch.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nongreedy import nas
from nongreedy.protocols import generator

DIMENSIONS, BASE, NO_RING = 16, 10.0, 0.4


@dataclass
class Bank:
    """So many instances of so many gates.

    Attributes:
        targets: v, shape (instances, gates, 16).
        small, large: Costs without and with the ring, shape (instances, gates).
    """

    targets: Tensor
    small: Tensor
    large: Tensor

    @classmethod
    def drawn(cls, instances: int, gates: int, least_norm: float, seed: int) -> Bank:
        draw = generator(seed)

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(instances, gates, generator=draw).double()

        small, factor, norm = uniform(1, 5), uniform(1.1, 1.6), uniform(least_norm, 1.5)
        there = uniform(0, 1) >= NO_RING
        direction = torch.randn(instances, gates, DIMENSIONS, generator=draw).double()
        direction /= direction.norm(dim=-1, keepdim=True)
        return cls(direction * (norm * there)[..., None], small, small * factor)

    @property
    def benefits(self) -> Tensor:
        return self.targets.square().sum(-1) / 2

    def cost(self, bits: Tensor) -> Tensor:
        """R, shape (instances,)."""
        return BASE + (self.small + bits * (self.large - self.small)).sum(-1)

    def objective(self, bits: Tensor, latency_weight: Tensor) -> Tensor:
        """What the rings that are missing would have been worth, and the price of R."""
        return ((1 - bits) * self.benefits).sum(-1) + latency_weight * self.cost(bits).log()

    def enumerated(self, latency_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best bits of each instance, their objective and the range of objectives."""
        gates = self.small.shape[1]
        every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=gates))).double()
        values = torch.stack([self.objective(bits, latency_weight) for bits in every])
        best = values.min(0)
        return every[best.indices], best.values, values.max(0).values - best.values


@dataclass
class Course:
    """What a search came to: averages of bits, bits of the last step, shape (instances, gates)."""

    averages: Tensor
    last: Tensor


def run(
    bank: Bank,
    prices: list[nas.DualPrice] | list[nas.FixedPrice],
    gate: nas.Gate,
    *,
    scale: float = 1.0,
    steps: int = 6000,
    rate: float = 0.02,
    seed: int = 0,
) -> Course:
    """Weights and thresholds by gradient descent on one loss, as published."""
    shape = bank.targets.shape
    start = torch.randn(shape, generator=generator(seed, 1)).double()
    weights = (scale * start / start.norm(dim=-1, keepdim=True)).requires_grad_()
    thresholds = torch.zeros(shape[:2]).double().requires_grad_()
    averages, smooth = nas.Averages(0.998), torch.zeros(shape[0]).double()
    distance = torch.vmap(torch.vmap(lambda w, t: gate.distance(w, torch.ones_like(w), t, 0.0)))
    bits = thresholds.detach()
    for _ in range(steps):
        bits = nas.straight_through(distance(weights, thresholds))
        cost = bank.cost(bits)
        value = torch.tensor([price.value for price in prices]).double()
        off = bits[..., None] * weights - bank.targets
        loss = off.square().sum() / 2 + (value * cost.log()).sum()
        pulls = torch.autograd.grad(loss, [weights, thresholds])
        with torch.no_grad():
            for tensor, pull in zip((weights, thresholds), pulls, strict=True):
                tensor -= rate * pull
        averages.update([bits])
        smooth = 0.98 * smooth + 0.02 * cost.detach() if _ else cost.detach()
        for price, own in zip(prices, smooth.tolist(), strict=True):
            price.update(own)
    return Course(averages.values[0], bits.detach())


def planted(instances: int = 20, scale: float = 1.0, seed: int = 0, steps: int = 6000) -> dict:
    """SP4: how often the readout by averages, and that of the last step, is optimal."""
    bank = Bank.drawn(instances, 8, 0.2, seed)
    choice = torch.randint(3, (instances,), generator=generator(seed, 2))
    weight = torch.tensor([1.0, 3.0, 8.0]).double()[choice]
    course = run(
        bank, [nas.FixedPrice(w) for w in weight.tolist()], nas.PaperGate(), scale=scale, seed=seed,
        steps=steps,
    )  # fmt: skip
    _, least, spread = bank.enumerated(weight)
    rows = {}
    for name, bits in {"average": (course.averages > 0.5).double(), "last": course.last}.items():
        gap = (bank.objective(bits, weight) - least) / spread
        rows[name] = {
            "optimal": float((gap < 1e-9).double().mean()), "gap": float(gap.mean()),
            "worst": float(gap.max()),
        }  # fmt: skip
    return rows


def controlled(instances: int = 12, seed: int = 0, steps: int = 6000) -> dict:
    """SP6: the readout on the budget against the exact knapsack and the target."""
    bank = Bank.drawn(instances, 14, 0.1, seed)
    share = 0.3 + 0.4 * torch.rand(instances, generator=generator(seed, 3)).double()
    low, high = (bank.cost(torch.full_like(bank.small, bit)) for bit in (0.0, 1.0))
    target = low + share * (high - low)
    prices = [nas.DualPrice(each, rate=0.02, value=1.0) for each in target.tolist()]
    course = run(bank, prices, nas.PaperGate(), seed=seed, steps=steps)
    shares, misses = [], []
    for k in range(instances):
        costs = torch.stack([bank.small[k], bank.large[k]], -1).tolist()
        found, best = (
            nas.knapsack([[0.0, v] for v in values], costs, float(target[k]) - BASE)
            for values in (course.averages[k].tolist(), bank.benefits[k].tolist())
        )
        bits, exact = torch.tensor(found).double(), torch.tensor(best).double()
        shares.append(float((bits * bank.benefits[k]).sum() / (exact * bank.benefits[k]).sum()))
        cost = BASE + sum(row[b] for row, b in zip(costs, found, strict=True))
        misses.append(cost / float(target[k]) - 1)
    plain = (bank.cost((course.averages >= 0.5).double()) / target - 1).abs()
    return {
        "miss": (min(misses), max(misses)), "benefit": float(np.mean(shares)),
        "least_benefit": min(shares), "plain_miss": (float(plain.mean()), float(plain.max())),
    }  # fmt: skip


def monotone(seed: int = 0, steps: int = 6000) -> list[float]:
    """SP7: R of the readout by averages at six values of Lambda, rising."""
    weights = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    one = Bank.drawn(1, 8, 0.2, seed)
    bank = Bank(*(part.expand(6, *part.shape[1:]) for part in (one.targets, one.small, one.large)))
    course = run(
        bank, [nas.FixedPrice(w) for w in weights], nas.PaperGate(), seed=seed, steps=steps
    )
    return bank.cost((course.averages > 0.5).double()).tolist()


def inversions(values: list[float]) -> int:
    return sum(b > a + 1e-9 for a, b in itertools.pairwise(values))
