"""How the batch of a step is spread over processes: not at all, unless `parallel` says otherwise."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


class Shards:
    """One process has the whole batch. Subclasses give each process a part, and sum what they find.

    Attributes:
        many: Whether other processes do the same at the same time. Then whatever decides how a run goes on
            must be the same for all of them, and so must not depend on the time or on one's own memory.
    """

    many: bool = False

    def spread(self, shared: Tensor) -> Tensor:
        """What all processes have, for use with one's own part: its gradient is the sum of theirs."""
        return shared

    def total(self, own: Tensor) -> Tensor:
        """The sum of what the processes have, which all of them have then."""
        return own

    def least(self, number: int) -> int:
        """The smallest of the processes' numbers."""
        return number

    def part(
        self, batch: Any, index: Callable[[], Tensor]
    ) -> tuple[Any, Callable[[], Tensor], float]:
        """One's own part of a batch and of the numbers of its examples, and its share of the loss."""
        return batch, index, 1.0

    def check_even(self, step: int, averaged: Sequence[float], device: torch.device) -> None:
        """Raise ValueError, in all processes, unless :func:`averages` says the same in all."""

    def mode(self) -> AbstractContextManager[object]:
        """While one's own part is computed: layers that look at all of a batch look at all parts."""
        return nullcontext()
