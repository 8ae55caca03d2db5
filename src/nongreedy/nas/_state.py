"""Where a search is: everything that a step reads and writes, and that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ._control import Averages, DualPrice, FixedPrice
from ._data import Data
from ._gates import PaperGate
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Recipe


@dataclass
class State:
    """A search in progress.

    Attributes:
        warm_up: Share of the steps before thresholds move.
        spent: Gradient steps of the whole super-network.
        history: A row per step after the warm-up: cost by the bits, its average, price.
    """

    network: SuperNet
    table: CostTable
    train: Data
    validation: Data
    recipe: Recipe
    warm_up: float
    price: DualPrice | FixedPrice
    seed: int
    steps: int
    averages: Averages
    optimizers: dict[str, Any] = field(default_factory=dict)
    cost_average: float = 0.0
    spent: float = 0.0
    history: list[tuple[int, float, float, float]] = field(default_factory=list)

    def progress(self, step: int) -> float:
        """Of what follows the warm-up, from 0 to 1."""
        begin = self.warm_up * self.steps
        return min(1.0, max(0.0, (step - begin) / max(1.0, self.steps - begin)))

    def cost_of(self, bits: Sequence[Tensor]) -> Tensor:
        """By the runtime model of the paper for its own gate and space, else by the exact one."""
        as_published = isinstance(self.network.gating.gate, PaperGate) and all(
            (len(o.kernels), len(o.expansions), len(o.squeezes)) == (2, 2, 1)
            for o in self.table.space.layers
        )
        return self.table.paper_runtime(bits) if as_published else self.table.expected(bits)

    def spend(self, steps: float) -> None:
        self.spent += steps

    def watch(self, bits: Sequence[Tensor], cost: float) -> None:
        """Average what the gates say, and let the price follow."""
        self.averages.update(bits)
        decay = self.averages.decay if self.history else 0.0
        self.cost_average = decay * self.cost_average + (1 - decay) * cost
        self.price.update(self.cost_average)
        row = (len(self.history), cost, self.cost_average, self.price.value)
        self.history.append(row)

    def to_state(self) -> dict[str, Any]:
        """Tensors and plain values alone."""
        return {
            "network": self.network.state_dict(),
            "optimizers": {name: each.state_dict() for name, each in self.optimizers.items()},
            "averages": self.averages.to_json(), "price": self.price.value,
            "cost_average": self.cost_average, "spent": self.spent, "history": list(self.history),
        }  # fmt: skip

    def restore(self, content: dict[str, Any]) -> None:
        """What :meth:`to_state` gave."""
        self.network.load_state_dict(content["network"])
        for name, each in self.optimizers.items():
            each.load_state_dict(content["optimizers"][name])
        self.averages.restore(content["averages"], self.network.blocks[0].thresholds.detach())
        self.price.value = content["price"]
        self.cost_average, self.spent = content["cost_average"], content["spent"]
        self.history = [tuple(row) for row in content["history"]]
