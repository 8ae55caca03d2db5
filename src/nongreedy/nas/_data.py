"""Examples in memory, and the batch of a step as a function of (seed, step)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data import in_memory
from ..errors import DataError
from ..protocols import generator, mix
from ..task._streams import AUGMENT, DROPOUT, ORDER


@dataclass(frozen=True)
class Data:
    """Inputs and targets, one row per example."""

    inputs: Tensor
    targets: Tensor

    @classmethod
    def of(cls, source: Any, name: str) -> Data:
        """A pair of tensors or arrays, or any map-style data set.

        Raises:
            DataError: Nothing, different lengths, or inputs that are not finite numbers.
        """
        if isinstance(source, Data):
            return source
        pair = (
            source if isinstance(source, (tuple, list)) and len(source) == 2 else in_memory(source)
        )
        inputs, targets = (
            torch.from_numpy(part) if isinstance(part, np.ndarray) else part for part in pair
        )
        if not (isinstance(inputs, Tensor) and isinstance(targets, Tensor)):
            kinds = ", ".join(type(part).__name__ for part in pair)
            raise DataError(f"`{name}` must be two tensors or arrays, but is ({kinds}).")
        if len(inputs) == 0 or len(inputs) != len(targets):
            raise DataError(
                f"`{name}` must have as many inputs as targets, and some, but has {len(inputs)} and "
                f"{len(targets)}."
            )
        if not inputs.is_floating_point() or not inputs.isfinite().all():
            raise DataError(f"Inputs of `{name}` must be finite numbers of a floating type.")
        return cls(inputs, targets)

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, seed: int, step: int, size: int, stream: int = ORDER) -> tuple[Tensor, Tensor]:
        """The examples of a step: every one of them once in each pass, in a new order."""
        size = min(size, len(self))
        first, last = step * size, (step + 1) * size
        epochs = range(first // len(self), (last - 1) // len(self) + 1)
        order = torch.cat([self._order(seed, epoch, stream) for epoch in epochs])
        begin = first - epochs[0] * len(self)
        index = order[begin : begin + size]
        return self.inputs[index], self.targets[index]

    def _order(self, seed: int, epoch: int, stream: int) -> Tensor:
        return torch.randperm(len(self), generator=generator(seed, stream, epoch))

    def first(self, count: int, seed: int) -> Data:
        """So many of them, drawn once."""
        index = self._order(seed, 0, ORDER)[:count]
        return Data(self.inputs[index], self.targets[index])


def augmented(augment: Any, inputs: Tensor, seed: int, step: int) -> Tensor:
    """The batch as an augmentation of :mod:`nongreedy.data` gives it at this step."""
    return inputs if augment is None else augment(inputs, generator(seed, AUGMENT, step))


def seed_step(seed: int, step: int) -> None:
    """Dropout draws from PyTorch's own generator: make that a function of the step, too."""
    torch.manual_seed(mix(seed, DROPOUT, step))
