"""What steers a search: averages of the gates, and the price of latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import check_number


class Averages:
    """Exponential averages of bits. One bit at one step is noise; how often it was open is not.

    Attributes:
        values: Of each row of bits, after `update`; between 0 and 1.

    Example:
        >>> averages = Averages(decay=0.5)
        >>> for bit in (1.0, 0.0): averages.update([torch.tensor([bit])])
        >>> averages.values[0].tolist()  # corrected for its beginning
        [0.3333333432674408]
    """

    def __init__(self, decay: float = 0.99):
        if not 0 <= decay < 1:
            raise ValueError(f"`decay` must be at least 0 and below 1, but got {decay!r}.")
        self.decay, self.weight, self._sums = decay, 0.0, list[Tensor]()

    @property
    def values(self) -> list[Tensor]:
        return [total / self.weight for total in self._sums]

    def update(self, bits: Sequence[Tensor]) -> None:
        rows = [row.detach() for row in bits]
        if not self._sums:
            self._sums = [torch.zeros_like(row) for row in rows]
        self._sums = [
            self.decay * total + (1 - self.decay) * row
            for total, row in zip(self._sums, rows, strict=True)
        ]
        self.weight = self.decay * self.weight + 1 - self.decay

    def to_json(self) -> dict[str, object]:
        return {"weight": self.weight, "sums": [total.tolist() for total in self._sums]}

    def restore(self, content: dict, like: Tensor) -> None:
        """What :meth:`to_json` gave."""
        self.weight = content["weight"]
        self._sums = [like.new_tensor(total) for total in content["sums"]]


@dataclass
class DualPrice:
    r"""The price of latency, raised while the target is missed: dual ascent.

    .. math:: \nu \leftarrow \max(0, \nu + \rho (\ln R - \ln R_\mathrm{target}))

    Attributes:
        target: In the unit of the costs.
        rate: rho, per step.
        value: nu, in loss per unit of the logarithm of the cost.

    Example:
        >>> price = DualPrice(target=5.0, rate=0.1)
        >>> price.update(10.0) > price.update(5.0) * 0.99 > 0
        True
    """

    target: float
    rate: float = 0.02
    value: float = 0.0

    def __post_init__(self) -> None:
        check_number("target", self.target)
        check_number("rate", self.rate)

    def update(self, cost: float) -> float:
        self.value = max(0.0, self.value + self.rate * (math.log(cost) - math.log(self.target)))
        return self.value


@dataclass
class FixedPrice:
    """The paper's constant factor on the logarithm of the latency, tuned by hand.

    Attributes:
        value: Lambda, 1000 times the paper's lambda: 20 for its published network.
    """

    value: float = 20.0

    def update(self, cost: float) -> float:
        return self.value
