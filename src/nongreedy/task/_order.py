"""The order of training examples: a permutation in each epoch, or a weighted draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler

from ..errors import DataError

_MOST = 1 << 24  # categories of torch.multinomial


@dataclass(frozen=True)
class Order:
    """How the examples of an epoch are drawn, from a generator and nothing else.

    Attributes:
        count: Examples to draw from.
        length: Examples drawn in an epoch.
        weights: Chances of the examples, up to a factor, shape (count,); None are equal ones.
        replacement: Whether an example may come twice in an epoch.
        shuffled: Whether the order is drawn at all.
    """

    count: int
    length: int
    weights: Tensor | None = None
    replacement: bool = False
    shuffled: bool = True

    @classmethod
    def of(cls, sampler: Any, count: int) -> "Order":
        """That of a sampler of PyTorch, of weights, or of None, which is a permutation.

        Raises:
            DataError: Weights of another length, negative or without sum, or more examples than can
                be drawn.
            TypeError: Something else, such as a sampler of one's own.
        """
        if sampler is None:
            return cls(count, count)
        if type(sampler) is SequentialSampler:
            return cls(count, count, shuffled=False)
        if type(sampler) is RandomSampler:
            return cls(count, sampler.num_samples, None, sampler.replacement)._checked()
        if type(sampler) is WeightedRandomSampler:
            length, again = sampler.num_samples, sampler.replacement
            return cls(count, length, sampler.weights, again)._checked()
        if isinstance(sampler, (Tensor, Sequence)) and not isinstance(sampler, (str, Sampler)):
            weights = torch.as_tensor(sampler, dtype=torch.float64)
            return cls(count, count, weights, replacement=True)._checked()
        raise TypeError(
            f"`sampler` must be a weight for each training example, or torch's WeightedRandomSampler, "
            f"RandomSampler or SequentialSampler, but got {type(sampler).__name__}, whose order "
            "could not be drawn again from (seed, step)."
        )

    def part(self, index: Tensor) -> "Order":
        """The same of some examples alone."""
        weights = None if self.weights is None else self.weights[index]
        length = len(index) if self.length == self.count else self.length
        return replace(self, count=len(index), length=length, weights=weights)._checked()

    def drawn(self, generator: torch.Generator) -> Tensor:
        """Numbers of the examples of an epoch, shape (length,)."""
        if not self.shuffled:
            return torch.arange(self.count)
        if self.weights is not None:
            return torch.multinomial(
                self.weights, self.length, self.replacement, generator=generator
            )
        if self.replacement:
            return torch.randint(self.count, (self.length,), generator=generator)
        return torch.randperm(self.count, generator=generator)[: self.length]

    @property
    def plain(self) -> bool:
        """Whether each epoch is every example once."""
        return self.weights is None and not self.replacement and self.length == self.count

    def _checked(self) -> "Order":
        if self.weights is not None:
            _check_weights(self.weights, self.count)
        if self.length > self.count and not self.replacement:
            raise DataError(
                f"`sampler` draws {self.length} of {self.count} examples without replacement. Draw at "
                f"most {self.count}, or pass replacement=True."
            )
        return self


def _check_weights(weights: Tensor, count: int) -> None:
    if weights.shape != (count,):
        raise DataError(
            f"`sampler` has weights of shape {tuple(weights.shape)} for {count} training examples. "
            "Give one for each example (not for each class: weights[targets])."
        )
    total = float(weights.sum())
    if not (bool((weights >= 0).all()) and 0 < total < math.inf):
        raise DataError(
            f"The weights of `sampler` must be zero or more and have a positive sum, but the least is "
            f"{float(weights.min()):g} and the sum {total:g}."
        )
    if count > _MOST:
        raise DataError(f"`sampler` has {count} weights; PyTorch draws from at most {_MOST}.")
