"""What is recommended in the end, and what was learned of the trade-offs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ._belief import Belief
from ._items import Items


@dataclass(frozen=True)
class Interval:
    """Mean or median, and the ends between which 90 % of the probability lies."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Recommendation:
    """The item of largest expected utility.

    Attributes:
        member: Its number among the items.
        name: Its name, with its attributes in `described`.
        utility: Expected, on the scale of the belief.
        chance: Probability that no other item is better.
        regret: What perfect knowledge of the utilities would still be expected to gain.
        others: Numbers and chances of the next most likely best items.
        weights: Attribute -> its utility from the worst to the best of the items.
        exchange: A step of an attribute -> how many of `exchange_unit` are as good.
        exchange_unit: A step of the first attribute.
        answers: How many it rests on.
        surprise: Standard deviations by which they were less likely than expected; above 3 they
            contradict the belief.
        reason: Why no more is asked.
    """

    member: int
    name: str
    described: str
    utility: float
    chance: float
    regret: float
    others: Sequence[tuple[int, float]]
    weights: dict[str, Interval]
    exchange: dict[str, Interval]
    exchange_unit: str
    answers: int
    surprise: float
    reason: str

    def __str__(self) -> str:
        lines = [f"Recommended: {self.described}"]
        lines.append(
            f"Best of all with probability {self.chance:.0%}; perfect knowledge would gain another "
            f"{self.regret:.3g} of utility. It rests on {self.answers} answers. {self.reason}"
        )
        lines.append("What was learned, with what holds nine times in ten:")
        for name, part in self.weights.items():
            lines.append(
                f"  weight of {name}: {part.middle:.2f} ({part.low:.2f} to {part.high:.2f})"
            )
        for step, worth in self.exchange.items():
            lines.append(
                f"  {step} is worth {worth.middle:.3g} ({worth.low:.3g} to {worth.high:.3g}) times "
                f"{self.exchange_unit}"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def recommended(belief: Belief, items: Items, surprise: float, reason: str) -> Recommendation:
    """From a belief."""
    points = items.catalogue
    utility, member = points.best(belief.mean)
    best, liked = points.best(belief.utilities)
    chances = torch.zeros(len(points), dtype=torch.float64).index_add_(0, liked, belief.weights)
    chosen = int(member)
    order = [k for k in chances.topk(min(4, len(points))).indices.tolist() if k != chosen]
    return Recommendation(
        chosen, items.names[chosen], items.described(chosen), float(utility), float(chances[chosen]),
        max(0.0, float(belief.weights @ best - utility)),
        [(k, float(chances[k])) for k in order if chances[k] > 0][:3],
        _weights(belief, items), _exchange(belief, items),
        items.attributes[0].step(), len(belief.answers), surprise, reason,
    )  # fmt: skip


def _weights(belief: Belief, items: Items) -> dict[str, Interval]:
    found = {}
    for k, attribute in enumerate(items.attributes):
        values = belief.utilities[:, k]
        low, high = quantiles(values, belief.weights, (0.05, 0.95))
        found[attribute.name] = Interval(float(belief.weights @ values), low, high)
    return found


def _exchange(belief: Belief, items: Items) -> dict[str, Interval]:
    """In units of the first attribute; only where all have a better side, so that a price makes sense."""
    if not all(attribute.sign for attribute in items.attributes):
        return {}
    per_step = (
        belief.utilities / items.widths * torch.tensor([a.step_size() for a in items.attributes])
    )
    found = {}
    for k, attribute in enumerate(items.attributes[1:], 1):
        ratio = per_step[:, k] / per_step[:, 0]
        low, middle, high = quantiles(ratio, belief.weights, (0.05, 0.5, 0.95))
        found[attribute.step()] = Interval(middle, low, high)
    return found


def quantiles(values: Tensor, weights: Tensor, shares: Sequence[float]) -> list[float]:
    """Of weighted values."""
    ordered, order = values.sort()
    below = weights[order].cumsum(0)
    places = torch.searchsorted(below, torch.tensor(shares, dtype=below.dtype))
    return ordered[places.clamp(max=len(values) - 1)].tolist()
