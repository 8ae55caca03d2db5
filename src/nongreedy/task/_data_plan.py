"""The data plan: which examples, in which order, with which augmentation, at step t of seed k.

Everything here is a function of (seed, step) and of nothing else, so that any step can be replayed.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError, ReplayError, check_whole
from ._default_generator import at_hand, seed_everything
from ._examples import Examples as Examples
from ._examples import different_items
from ._nest import checksum as checksum
from ._nest import to_device as to_device
from ._order import Order
from ._raised import as_written
from ._streams import AUGMENT, ORDER, READ
from ._streams import COLUMNS as COLUMNS
from ._streams import COPIES as COPIES
from ._streams import DIRECTIONS as DIRECTIONS
from ._streams import DROPOUT as DROPOUT
from ._streams import INITIAL as INITIAL
from ._streams import JUDGE as JUDGE
from ._streams import LOOKS as LOOKS
from ._streams import REESTIMATE as REESTIMATE
from ._streams import generator as generator
from ._streams import mix as mix
from ._workers import Reader, read_at


class DataPlan:
    """Batch t of seed k, again and again the same.

    One epoch is a permutation of all examples, or what a sampler draws, cut into batches of equal
    size; the remainder is dropped. A batch as large as the data is one full batch per step, in the
    data's own order.

    Args:
        examples: What to draw from.
        batch_size: Examples per step.
        augment: ``(inputs, generator) -> inputs``, or None.
        order: How examples are drawn; None is a permutation in each epoch.
        workers: Processes that read a data set ahead; 0 reads in this one.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        order: Order | None = None,
        workers: int = 0,
    ):
        check_whole("num_workers", workers, least=0)
        check_whole("batch_size", batch_size)
        self.order = order = order or Order.of(None, examples.count)
        if batch_size > order.length:
            raise DataError(
                f"batch_size={batch_size} is larger than `{examples.name}` with {order.length} "
                f"examples. Use a batch size of at most {order.length}."
            )
        self.examples, self.batch_size, self.augment = examples, batch_size, augment
        self.steps_per_epoch = order.length // batch_size
        self._reader, self.workers = None, workers
        if workers and not examples.is_tensors:
            self._reader = Reader(examples, lambda *at: self.index(*at).tolist(), workers)
        self._drawn_order = lru_cache(maxsize=4)(self._epoch)

    def _epoch(self, seed: int, epoch: int) -> Tensor:
        return self.order.drawn(generator(seed, ORDER, epoch))

    def indices(self, seed: int, step: int) -> Tensor | slice:
        """Which examples form the batch at this step."""
        if self.order.plain and self.batch_size == self.examples.count:
            return slice(None)
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._drawn_order(seed, epoch)
        return order[position * self.batch_size : (position + 1) * self.batch_size]

    def index(self, seed: int, step: int) -> Tensor:
        """The same as numbers of examples, shape (batch_size,)."""
        chosen = self.indices(seed, step)
        return torch.arange(self.examples.count) if isinstance(chosen, slice) else chosen

    def batch(self, seed: int, step: int, device: torch.device, dtype: torch.dtype) -> Any:
        """(inputs, targets) at this step, augmented, on the device."""
        return to_device(self._drawn(seed, step, device), device, dtype)

    def _drawn(self, seed: int, step: int, device: torch.device) -> tuple[Any, Any]:
        indices = self.indices(seed, step)
        if self.examples.is_tensors and self.augment is None:
            return self.examples.read(indices)
        # Whatever a data set's own transforms and `augment` draw from, it is seeded for this step.
        with at_hand(device), as_written():
            if self._reader is not None:
                inputs, targets = self._reader.read(seed, step)
            else:
                inputs, targets = read_at(self.examples, seed, step, indices, device)
            if self.augment is not None:
                # Anew: where other processes read, nothing was drawn here.
                seed_everything(mix(seed, READ, step, 1), device)
                inputs = self.augment(inputs, generator(seed, AUGMENT, step))
            return inputs, targets


class ReplayGuard:
    """Remembers a digest of each batch that a run read, and compares when it is read again.

    Tensors in memory cannot change between two reads, so only data sets are watched.
    """

    def __init__(self, examples: Examples):
        self.examples, self.digests = examples, dict[int, int]()

    def check(self, step: int, batch: Any) -> None:
        """Raise ReplayError if the batch of this step differs from the one read before."""
        if self.examples.is_tensors:
            return
        digest = checksum(batch)
        if self.digests.setdefault(step, digest) != digest:
            raise ReplayError(different_items(self.examples.name, f"batch of step {step}"))
