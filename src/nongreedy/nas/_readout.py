"""From averages of gates to an architecture on the budget, checked by validation losses."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ._architecture import Architecture
from ._data import Data
from ._knapsack import knapsack
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Loss, batch_statistics, judge

FORWARD = 1 / 3  # of a gradient step: a backward pass takes twice as long


class Readout:
    """Chooses architectures between two costs, and knows their losses with the shared weights.

    Args:
        network: The super-network, whose weights all architectures share.
        averages: Of the bits of each layer: :class:`Averages`.
        data: Validation examples.
        loss: Of outputs and targets.
        batch_size: Examples of a gradient step, in which costs are counted.

    Attributes:
        losses: Of all architectures that were judged.
        spent: On them, in gradient steps.
    """

    def __init__(
        self,
        network: SuperNet,
        averages: Sequence[Tensor],
        data: Data,
        loss: Loss,
        batch_size: int,
    ):
        self.network, self.data, self.loss = network, data, loss
        self.losses: dict[Architecture, float] = {}
        self.spent, self._each = 0.0, FORWARD * len(data) / batch_size
        self._options = [options.choices() for options in network.space.layers]
        self._open = opened(network.space, averages)

    def ranked(self, table: CostTable, least: float, most: float) -> Architecture | None:
        """The one whose gates were open most often; None where no architecture costs so much."""
        chosen = knapsack(self._open, table.costs, most - table.fixed, least - table.fixed)
        return None if chosen is None else self._named(chosen)

    def judged(self, architecture: Architecture) -> float:
        """The validation loss with the shared weights, by statistics of each batch."""
        if architecture not in self.losses:
            with self.network.fixed(architecture), batch_statistics(self.network):
                self.losses[architecture] = judge(self.network, self.data, self.loss)[0]
            self.spent += self._each
        return self.losses[architecture]

    def improved(
        self, start: Architecture, table: CostTable, least: float, most: float, rounds: int = 3
    ) -> Architecture:
        """Flip every choice by itself, take the best flips that fit together; again from there.

        That choices add up is an assumption: what they come to is judged, and fewer are flipped at a time
        until the loss falls.
        """
        best = start
        for _ in range(rounds):
            gains = self._gains(best)
            entries = [row.index(c) for row, c in zip(self._options, best.choices, strict=True)]
            for moves in _fewer(len(entries)):
                chosen = knapsack(
                    gains, table.costs, most - table.fixed, least - table.fixed,
                    near=entries, moves=moves,
                )  # fmt: skip
                found = best if chosen is None else self._named(chosen)
                if found != best and self.judged(found) < self.judged(best):
                    best = found
                    break
            else:
                return best
        return best

    def near(
        self, around: Architecture, table: CostTable, least: float, most: float
    ) -> Architecture | None:
        """The best by single flips that differs in as few layers as the costs allow; None if none does."""
        gains = self._gains(around)
        entries = [row.index(c) for row, c in zip(self._options, around.choices, strict=True)]
        for moves in range(len(entries) + 1):
            chosen = knapsack(
                gains, table.costs, most - table.fixed, least - table.fixed,
                near=entries, moves=moves,
            )  # fmt: skip
            if chosen is not None:
                return self._named(chosen)
        return None

    def _gains(self, around: Architecture) -> list[list[float]]:
        """How much lower the loss is with each other choice of a layer."""
        base = self.judged(around)
        return [
            [base - self.judged(around.replaced(layer, choice)) for choice in options]
            for layer, options in enumerate(self._options)
        ]

    def _named(self, chosen: Sequence[int]) -> Architecture:
        pairs = zip(self._options, chosen, strict=True)
        return Architecture(tuple(options[k] for options, k in pairs))


def opened(space, averages: Sequence[Tensor]) -> list[list[float]]:
    """Of each choice of each layer: the sum of the averages of the bits that it sets."""
    return [
        [
            sum(bit * a for bit, a in zip(options.encode(choice), row.tolist(), strict=True))
            for choice in options.choices()
        ]
        for options, row in zip(space.layers, averages, strict=True)
    ]


def _fewer(layers: int) -> list[int]:
    """All at once, then halves of them, down to one."""
    moves = [layers]
    while moves[-1] > 1:
        moves.append(moves[-1] // 2)
    return moves
