"""A space of architectures: what each searched layer may choose from."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from ._architecture import Architecture, Choice, LayerOptions


@dataclass(frozen=True)
class Space:
    """The options of every searched layer, in the order in which data pass them.

    Example:
        >>> space = Space((LayerOptions(), LayerOptions(skippable=True)))
        >>> space.size
        20
        >>> space.decode(space.encode(space.largest())) == space.largest()
        True
    """

    layers: tuple[LayerOptions, ...]

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def size(self) -> int:
        """How many architectures there are."""
        return math.prod(len(options.choices()) for options in self.layers)

    def encode(self, architecture: Architecture) -> list[tuple[int, ...]]:
        """The bits of every layer: the exact inverse of :meth:`decode`.

        Raises:
            ValueError: An architecture of another space.
        """
        if len(architecture) != len(self):
            raise ValueError(
                f"The architecture has {len(architecture)} layers, but {len(self)} are searched."
            )
        return [
            options.encode(choice)
            for options, choice in zip(self.layers, architecture.choices, strict=True)
        ]

    def decode(self, bits: Iterable[Iterable[float]]) -> Architecture:
        """The architecture of these bits."""
        pairs = zip(self.layers, bits, strict=True)
        return Architecture(tuple(options.decode(row) for options, row in pairs))

    def largest(self) -> Architecture:
        """Every layer at its largest choice."""
        return Architecture(tuple(options.largest() for options in self.layers))

    def smallest(self) -> Architecture:
        """Every layer skipped, or at its smallest choice."""
        return Architecture(tuple(options.choices()[0] for options in self.layers))

    def random(self, generator: torch.Generator) -> Architecture:
        """Each layer's choice with equal probability."""
        rows = [options.choices() for options in self.layers]
        draws = [int(torch.randint(len(row), (), generator=generator)) for row in rows]
        return Architecture(tuple(row[k] for row, k in zip(rows, draws, strict=True)))

    def uniform(self) -> list[Architecture]:
        """Those in which every layer that can makes the same choice, and none is skipped."""
        ranks = [
            range(max(len(getattr(options, name)) for options in self.layers))
            for name in ("kernels", "expansions", "squeezes")
        ]
        rows = (
            Architecture(tuple(_ranked(options, rank) for options in self.layers))
            for rank in itertools.product(*ranks)
        )
        return list(dict.fromkeys(rows))


def _ranked(options: LayerOptions, ranks: Sequence[int]) -> Choice:
    rows = options.kernels, options.expansions, options.squeezes
    k, e, q = (min(rank, len(row) - 1) for row, rank in zip(rows, ranks, strict=True))
    return Choice(options.kernels[k], options.expansions[e], options.squeezes[q])
