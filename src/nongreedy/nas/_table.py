"""What every choice of every layer costs, in milliseconds or another unit."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..schedules._files import read_json, replace_file
from ._architecture import Architecture, Choice, LayerOptions
from ._machine import machine
from ._space import Space
from ._supernet import SuperNet

FORMAT = "nongreedy.cost_table"


@dataclass(frozen=True)
class CostTable:
    r"""Costs of choices, which add up to that of a network.

    .. math:: R = R_\mathrm{fixed} + \sum_l R_{l, c_l}

    Attributes:
        space: What each layer may choose from.
        costs: For each layer, those of `options.choices()`.
        fixed: Of all that is not searched.
        unit: "ms", "FLOPs", "parameters" or "bytes".
        fingerprint: Of the network that it is for.
        made_with: Machine, backend, threads, versions, numbers of measurements.

    Raises:
        ValueError: Costs that do not belong to the options, or are not finite.

    Source: arXiv:1904.02877, whose table was measured on a Pixel 1.

    Cannot: know of effects between layers, such as fused operations or what stays in a cache.

    Example:
        >>> from nongreedy import nas
        >>> space = nas.Space((nas.LayerOptions((3, 5), (3, 6), skippable=True),))
        >>> table = nas.CostTable(space, ((0.0, 1.0, 2.0, 1.5, 3.0),), fixed=1.0)
        >>> table.total(nas.Architecture((nas.Choice(5, 3),)))
        2.5
    """

    space: Space
    costs: tuple[tuple[float, ...], ...]
    fixed: float = 0.0
    unit: str = "ms"
    fingerprint: str = ""
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = [len(options.choices()) for options in self.space.layers]
        if [len(row) for row in self.costs] != wanted:
            raise ValueError(
                f"A table for {wanted} choices needs as many costs, but has "
                f"{[len(row) for row in self.costs]}."
            )
        for cost in [self.fixed, *(cost for row in self.costs for cost in row)]:
            if not math.isfinite(cost):
                raise ValueError(f"A cost must be finite, but one is {cost!r}.")

    def cost(self, layer: int, choice: Choice | None) -> float:
        """Of one choice of one layer."""
        return self.costs[layer][self.space.layers[layer].choices().index(choice)]

    def total(self, architecture: Architecture) -> float:
        """Of a network."""
        self.space.encode(architecture)  # refuses one of another space
        return self.fixed + sum(self.cost(*pair) for pair in enumerate(architecture.choices))

    def extremes(self) -> tuple[Architecture, Architecture]:
        """The cheapest network and the most expensive one."""
        pairs = list(zip(self.space.layers, self.costs, strict=True))
        picked = [
            tuple(options.choices()[row.index(best(row))] for options, row in pairs)
            for best in (min, max)
        ]
        return Architecture(picked[0]), Architecture(picked[1])

    def expected(self, bits: Sequence[Tensor]) -> Tensor:
        r"""The total as a function of the bits of each layer, exact where they are 0 and 1.

        .. math:: R_l = s \sum_{k,e,q} p_k p_e p_q R_l(k, e, q), \qquad
            p_k = s_1 \cdots s_k (1 - s_{k+1})

        Args:
            bits: Of each layer, in the order of its gates.

        Returns:
            Shape (), differentiable in the bits.
        """
        total = torch.as_tensor(self.fixed, dtype=bits[0].dtype, device=bits[0].device)
        for options, row, own in zip(self.space.layers, self.costs, bits, strict=True):
            kernels, widths, squeeze, layer = options.split(own)
            parts = [_shares(kernels, own), _shares(widths, own)]
            parts.append(_shares([] if squeeze is None else [squeeze], own))
            chances = torch.einsum("i,j,k->ijk", *parts).flatten()
            skipped, there = (row[0], row[1:]) if options.skippable else (0.0, row)
            cost = chances @ own.new_tensor(there)
            total = total + (cost if layer is None else layer * cost + (1 - layer) * skipped)
        return total

    def paper_runtime(self, bits: Sequence[Tensor]) -> Tensor:
        r"""The runtime model as published, for kernels (3, 5), expansions (3, 6) and free skips.

        .. math:: R_e = s_3 (R(5,3) + s_6 (R(5,6) - R(5,3))), \quad
            R_l = \rho R_e + (1 - \rho) s_5 R_e, \quad \rho = R(3,6) / R(5,6)

        It gives (3, 3) the cost rho R(5, 3), a few per cent off the table's.

        Raises:
            ValueError: Other options.
        """
        total = bits[0].new_tensor(self.fixed)
        for options, row, own in zip(self.space.layers, self.costs, bits, strict=True):
            if (
                len(options.kernels) != 2
                or len(options.expansions) != 2
                or len(options.squeezes) != 1
            ):
                raise ValueError(
                    "The paper's runtime model is for two kernels and two expansions, but a layer has "
                    f"{options}. Use CostTable.expected."
                )
            (s5,), (s6,), _, layer = options.split(own)
            _, r36, r53, r56 = row[-4:]
            inner = (1 if layer is None else layer) * (r53 + s6 * (r56 - r53))
            total = total + r36 / r56 * inner + (1 - r36 / r56) * s5 * inner
        return total

    def calibrated(self, measured: Sequence[tuple[Architecture, float]]) -> CostTable:
        """The table that fits measured networks best: one factor on all costs, and what is fixed.

        A single network, or several that cost the same, set what is fixed alone.
        """
        own = [self.total(architecture) - self.fixed for architecture, _ in measured]
        found = [value for _, value in measured]
        mean, mean_found = sum(own) / len(own), sum(found) / len(found)
        spread = sum((x - mean) ** 2 for x in own)
        slope = 1.0
        if spread > 1e-12 * max(mean, 1e-12) ** 2:
            slope = sum((x - mean) * y for x, y in zip(own, found, strict=True)) / spread
        if slope <= 0:  # noise has turned the order round: the blocks' own times are better
            slope = 1.0
        return replace(self.times(slope), fixed=mean_found - slope * mean)

    def times(self, factor: float) -> CostTable:
        """The table of a machine that takes so many times as long."""
        rows = tuple(tuple(factor * cost for cost in row) for row in self.costs)
        return replace(self, costs=rows, fixed=factor * self.fixed)

    def check(self, network: SuperNet) -> None:
        """Warn of a table that was made for another network, or on another machine.

        Raises:
            ValueError: Its options are others than the network's.
        """
        if self.space != network.space:
            raise ValueError(
                f"This table is for {len(self.space)} layers with other options than the network's "
                f"{len(network.space)}. Measure it with nas.profile."
            )
        if self.fingerprint and self.fingerprint != network.fingerprint():
            _warn(
                f"This table was made for another network ({self.fingerprint}, this one is "
                f"{network.fingerprint()}), with the same options."
            )
        made, here = self.made_with.get("machine"), machine()
        if self.unit == "ms" and made is not None and made != here:
            _warn(f"This table was measured on another machine: {made!r}, this one is {here!r}.")

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT, "version": 1, "unit": self.unit, "fingerprint": self.fingerprint,
            "made_with": dict(self.made_with), "fixed": self.fixed,
            "layers": [
                {**vars(options), "costs": list(row)}
                for options, row in zip(self.space.layers, self.costs, strict=True)
            ],
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CostTable:
        """What :meth:`to_json` gave.

        Raises:
            ValueError: It is something else.
        """
        if content.get("format") != FORMAT or content.get("version") != 1:
            raise ValueError(f"This is no table of costs of version 1: {str(content)[:80]}.")
        names = ("kernels", "expansions", "squeezes")
        layers = tuple(
            LayerOptions(**{name: tuple(row[name]) for name in names}, skippable=row["skippable"])
            for row in content["layers"]
        )
        costs = tuple(tuple(float(cost) for cost in row["costs"]) for row in content["layers"])
        names = ("fixed", "unit", "fingerprint", "made_with")
        return cls(Space(layers), costs, **{name: content[name] for name in names})

    def save(self, file: str | os.PathLike[str]) -> None:
        """Write it as JSON, all or nothing."""
        replace_file(Path(file), json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, file: str | os.PathLike[str]) -> CostTable:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: A file that is unreadable or something else.
        """
        try:
            return cls.from_json(read_json(Path(file)))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"Cannot read a table of costs from {str(file)!r}: {error}."
            ) from error


def _shares(bits: Sequence[Tensor], like: Tensor) -> Tensor:
    """Of each nested option: those before it taken, the next one not."""
    shares, taken = [], like.new_ones(())
    for bit in bits:
        shares.append(taken * (1 - bit))
        taken = taken * bit
    return torch.stack([*shares, taken])


def _warn(message: str) -> None:
    warnings.warn(f"{message} Its predictions may be off: measure with nas.profile.", stacklevel=4)
