"""Means and standard errors of samples that come in parts."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

_NUMBERS = 1 << 22  # of one part's actions: 32 MB


class Sums:
    """The mean of samples and its standard error, for each entry."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, samples: Tensor) -> None:
        """Further samples, shape (n, ...)."""
        self.count += len(samples)
        self.total = self.total + samples.sum(0)
        self.squares = self.squares + samples.square().sum(0)

    @property
    def mean(self) -> Tensor:
        return self.total / self.count

    @property
    def standard_error(self) -> Tensor:
        """Infinite for a single sample, of which nothing is known."""
        if self.count < 2:
            return torch.full_like(self.mean, math.inf)
        variance = (self.squares / self.count - self.mean.square()).clamp(min=0)
        return (variance / (self.count - 1)).sqrt()


def parts(count: int, size: int) -> Iterator[int]:
    """Cut `count` actions of `size` numbers each into parts that fit in memory."""
    most = max(1, _NUMBERS // size)
    while count > 0:
        yield min(count, most)
        count -= most
