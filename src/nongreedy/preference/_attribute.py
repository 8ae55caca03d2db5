"""An attribute of items: its name, which way is better, and its scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Attribute:
    """What utility is linear in, after scaling: 0 at its lowest end, 1 at its highest; turned round where
    smaller is better. Made by :func:`larger`, :func:`smaller` and :func:`either`.

    Attributes:
        name: Of the column.
        sign: 1 where larger is better, -1 where smaller is, 0 where that depends on who is asked.
        log: Whether ratios count instead of differences, as for latency and memory.
        unit: For people.
    """

    name: str
    sign: int
    log: bool = False
    unit: str = ""

    @property
    def wanted(self) -> str:
        """Which way is better, in words."""
        return {1: "larger is better", -1: "smaller is better", 0: "either may be better"}[
            self.sign
        ]

    def shown(self, value: float) -> str:
        """A value with name and unit."""
        return f"{self.name} {value:.4g}{' ' + self.unit if self.unit else ''}"

    def transformed(self, values: Tensor) -> Tensor:
        """In the coordinate in which utility is linear, not yet scaled."""
        if self.log and not bool((values > 0).all()):
            raise ValueError(
                f"{self.name!r} has log=True and must be positive, but is {float(values.min()):g} in row "
                f"{int(values.argmin())}, counting from 0. Without log=True it may be."
            )
        return (values.log() if self.log else values) * (self.sign or 1)

    def step(self) -> str:
        """One step for the better, in words: what is weighed against other attributes."""
        if self.log:
            return f"{'half' if self.sign < 0 else 'twice'} the {self.name}"
        return f"{'-' if self.sign < 0 else '+'}1 {self.unit or ''} {self.name}".replace("  ", " ")

    def step_size(self) -> float:
        """The size of that step, in the coordinate in which utility is linear."""
        return math.log(2) if self.log else 1.0


def larger(name: str, *, log: bool = False, unit: str = "") -> Attribute:
    """An attribute that is better when larger, such as accuracy."""
    return Attribute(name, 1, log, unit)


def smaller(name: str, *, log: bool = False, unit: str = "") -> Attribute:
    """An attribute that is better when smaller, such as a loss; `log` for latency or memory."""
    return Attribute(name, -1, log, unit)


def either(name: str, *, log: bool = False, unit: str = "") -> Attribute:
    """An attribute of which some want more and some less, such as a film's genre."""
    return Attribute(name, 0, log, unit)


def scaled(raw: Tensor, attributes: tuple[Attribute, ...]) -> tuple[Tensor, Tensor]:
    """Columns from 0 to 1, each with better above, shape (n, d); and the width of each before, (d,)."""
    columns = torch.stack([a.transformed(raw[:, k]) for k, a in enumerate(attributes)], 1)
    low, high = columns.amin(0), columns.amax(0)
    for attribute, width in zip(attributes, high - low, strict=True):
        if not width > 0:
            raise ValueError(
                f"{attribute.name!r} is the same for all items, so that it decides nothing: leave it out."
            )
    return (columns - low) / (high - low), high - low
