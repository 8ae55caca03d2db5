"""The data plan: which examples, in which order, with which augmentation, at step t of seed k.

Everything here is a function of (seed, step) and of nothing else, so that any step can be replayed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from ..errors import DataError, ReplayError, check_whole

_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """Hash whole numbers into one 63-bit seed, by the splitmix64 finalizer.

    Neighbouring seeds and steps give unrelated streams.
    """
    state = 0x9E3779B97F4A7C15
    for number in numbers:
        state = (state ^ (number & _MASK)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


# Independent streams of one seed.
ORDER, AUGMENT, DROPOUT, INITIAL, REESTIMATE, DIRECTIONS, LOOKS, READ, JUDGE = range(1, 10)
COPIES, COLUMNS = 32, 33


def generator(*numbers: int) -> torch.Generator:
    """A CPU generator seeded by :func:`mix`."""
    return torch.Generator().manual_seed(mix(*numbers))


def to_device(batch: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Move tensors to the device, floating-point ones also to the dtype; keep nested structure."""
    if isinstance(batch, Tensor):
        return batch.to(device, dtype) if batch.is_floating_point() else batch.to(device)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device, dtype) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        return type(batch)(to_device(value, device, dtype) for value in batch)
    return batch


def checksum(value: Any) -> int:
    """A 63-bit digest of the exact bits of a nest of tensors; sensitive to order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return mix(*map(checksum, value))
    if not isinstance(value, Tensor):
        return mix(*str(value).encode())
    raw = value.detach().contiguous().reshape(-1).view(torch.uint8)
    raw = torch.nn.functional.pad(raw, (0, -len(raw) % 8)).view(torch.int64)
    position = torch.arange(1, len(raw) + 1, device=raw.device)
    # Wrap-around integer arithmetic: exact, so equal bits give equal sums on any device.
    return mix(int((raw * (2 * position + 1)).sum()), value.numel())


class Examples:
    """Examples by index: a pair of tensors kept as they are, or any map-style ``Dataset``.

    Raises:
        DataError: Empty, mismatched lengths, or items that differ on a second read.
    """

    def __init__(self, source: Any, name: str):
        self.name, self.source = name, source
        self.is_tensors = isinstance(source, (tuple, list)) and len(source) == 2
        if self.is_tensors:
            _check_pair(source, name)
            self.count = len(source[0])
        elif hasattr(source, "__getitem__") and hasattr(source, "__len__"):
            self.count = len(source)
        else:
            raise DataError(
                f"`{name}` must be a pair of tensors (inputs, targets) or a map-style Dataset with "
                f"__len__ and __getitem__, but got {type(source).__name__}."
            )
        if self.count == 0:
            raise DataError(f"`{name}` is empty. Give it at least one example.")
        if not self.is_tensors:
            for index in {0, self.count - 1}:
                if checksum(self.fetch([index])) != checksum(self.fetch([index])):
                    raise ReplayError(_different_items(self.name, index))

    def fetch(self, indices: Tensor | Sequence[int] | slice) -> tuple[Any, Any]:
        """The batch (inputs, targets) of these examples."""
        if self.is_tensors:
            inputs, targets = self.source
            return inputs[indices], targets[indices]
        if isinstance(indices, slice):
            indices = range(*indices.indices(self.count))
        listed = indices.tolist() if isinstance(indices, Tensor) else list(indices)
        items = [self.source[int(index)] for index in listed]
        if not isinstance(items[0], (tuple, list)) or len(items[0]) != 2:
            raise DataError(
                f"`{self.name}` returns {type(items[0]).__name__} items; each must be a pair "
                "(input, target)."
            )
        try:
            inputs, targets = default_collate([tuple(item) for item in items])
        except (RuntimeError, TypeError) as error:
            raise DataError(
                f"The items of `{self.name}` do not stack into a batch: {error}. Make every item a "
                "(input, target) pair of the same shape."
            ) from error
        return inputs, targets


def _check_pair(pair: Sequence[Any], name: str) -> None:
    for part in pair:
        if not isinstance(part, Tensor):
            raise DataError(
                f"`{name}` holds {type(part).__name__}; convert it with torch.as_tensor first."
            )
    if len(pair[0]) != len(pair[1]):
        raise DataError(
            f"`{name}` has {len(pair[0])} inputs but {len(pair[1])} targets. They must match."
        )


def _different_items(name: str, where: int | str) -> str:
    return (
        f"`{name}` returned different items on a second read ({where}). Its transform is random or "
        "it changes while it is read, so a step cannot be replayed. Move random transforms to "
        "`augment=`, which is replayable, or read the data once with nongreedy.data.in_memory."
    )


class DataPlan:
    """Batch t of seed k, again and again the same.

    One epoch is a permutation of all examples cut into batches of equal size; the remainder is
    dropped. A batch as large as the data is one full batch per step, in the data's own order.

    Args:
        examples: What to draw from.
        batch_size: Examples per step.
        augment: ``(inputs, generator) -> inputs``, or None.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
    ):
        check_whole("batch_size", batch_size)
        if batch_size > examples.count:
            raise DataError(
                f"batch_size={batch_size} is larger than `{examples.name}` with {examples.count} "
                f"examples. Use a batch size of at most {examples.count}."
            )
        self.examples, self.batch_size, self.augment = examples, batch_size, augment
        self.steps_per_epoch = examples.count // batch_size
        self._order = lru_cache(maxsize=4)(self._permutation)

    def _permutation(self, seed: int, epoch: int) -> Tensor:
        return torch.randperm(self.examples.count, generator=generator(seed, ORDER, epoch))

    def indices(self, seed: int, step: int) -> Tensor | slice:
        """Which examples form the batch at this step."""
        if self.batch_size == self.examples.count:
            return slice(None)
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self._order(seed, epoch)
        return order[position * self.batch_size : (position + 1) * self.batch_size]

    def index(self, seed: int, step: int) -> Tensor:
        """The same as numbers of examples, shape (batch_size,)."""
        chosen = self.indices(seed, step)
        return torch.arange(self.examples.count) if isinstance(chosen, slice) else chosen

    def batch(self, seed: int, step: int, device: torch.device, dtype: torch.dtype) -> Any:
        """(inputs, targets) at this step, augmented, on the device."""
        indices = self.indices(seed, step)
        if isinstance(indices, Tensor) and self.examples.is_tensors:
            indices = indices.to(self.examples.source[0].device)
        inputs, targets = self.examples.fetch(indices)
        if self.augment is not None:
            inputs = self.augment(inputs, generator(seed, AUGMENT, step))
        return to_device((inputs, targets), device, dtype)


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
            raise ReplayError(_different_items(self.examples.name, f"batch of step {step}"))
