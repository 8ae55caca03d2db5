"""Examples: what people have as data, as pairs (inputs, targets) by index."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset, default_collate

from ..errors import DataError, ReplayError
from ._default_generator import at_hand, seed_everything
from ._kept import Kept
from ._nest import checksum, each, leaves, taken
from ._raised import as_written
from ._streams import JUDGE, READ, generator, mix

Indices = Tensor | Sequence[int] | slice
Collate = Callable[[list[Any]], Any]

_HOST = torch.device("cpu")
_LITTLE = 0.05  # of a device's free memory, that data may take
_UNKNOWN = 4 * 2**30  # where a device does not say what is free
# What data sets of dictionaries call the target; the rest is what the model is called with.
TARGETS = ("labels", "label", "targets", "target")


class Examples:
    """Examples by index: tensors in memory, or any map-style ``Dataset``.

    Args:
        source: ``(inputs, targets)``, each a tensor or a nest of them (tuples, lists, dictionaries,
            named tuples); a ``TensorDataset``, whose last tensor is the target; a dictionary of
            tensors; or a map-style data set whose items are pairs, longer tuples, or dictionaries.
            Of a dictionary the target is what is called ``labels``, ``label``, ``targets`` or
            ``target``.
        name: What errors call it.
        collate: ``(items) -> batch``; None stacks them as ``torch.utils.data.DataLoader`` does.
        device: Whose generator is seeded where an item is read.

    Raises:
        DataError: Empty, mismatched lengths, a stream, or no target that could be told.
        ReplayError: Items that differ on a second read although every default generator was seeded.
    """

    def __init__(
        self,
        source: Any,
        name: str,
        collate: Collate | None = None,
        device: torch.device = _HOST,
    ):
        self.name, self.collate, self.device = name, collate, device
        self._kept: Kept | None = None
        stored = _in_memory(source, name)
        self.is_tensors = stored is not None and collate is None
        self.count = counted_items(source, name) if stored is None else _counted_rows(stored, name)
        if self.count == 0:
            raise DataError(f"`{name}` is empty. Give it at least one example.")
        self.source = source if stored is None else stored if self.is_tensors else _Rows(source)
        if not self.is_tensors:
            for index in sorted({0, self.count - 1}):
                if checksum(self.fetch([index])) != checksum(self.fetch([index])):
                    raise ReplayError(different_items(name, index))

    def part(self, index: Tensor, name: str) -> "Examples":
        """These examples alone."""
        if self.is_tensors:
            return Examples(self.fetch(index), name, device=self.device)
        source: Any = self.source
        subset = Subset(source, index.tolist())
        return Examples(subset, name, self.collate, self.device)

    def split(self, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
        """Numbers of the examples for training, and of those held out.

        Raises:
            DataError: Either are none.
        """
        held = round(self.count * fraction)
        if not 0 < held < self.count:
            raise DataError(
                f"validation={fraction} of {self.count} examples leaves {held} for validation and "
                f"{self.count - held} for training. Choose a fraction strictly between 0 and 1."
            )
        order = torch.randperm(self.count, generator=generator(seed))
        return order[held:], order[:held]

    def settle(self, device: torch.device) -> None:
        """Lie on an accelerator from now on, if that takes little of what is free there: else each batch
        is gathered here and copied there, in the run and again in the sweep."""
        if not self.is_tensors or device.type == "cpu":
            return
        total = sum(part.nbytes for part in leaves(self.source) if part.device != device)
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else _UNKNOWN
        if total <= free * _LITTLE:
            self.source = each(self.source, lambda part: part.to(device))

    def fetch(self, indices: Indices) -> tuple[Any, Any]:
        """The batch (inputs, targets) of these examples, the same whenever and however it is read.

        Every example has a seed of its own, so that a random transform of data that judge is one
        fixed draw, which no other order or size of slices changes: 15 us an item.
        """
        if self.is_tensors:
            return taken(self.source, indices)
        if self._kept is None:
            return self._fetched(indices)
        return self._kept.get(tuple(self._listed(indices)), lambda: self._fetched(indices))

    def keep(self) -> None:
        """Read each slice once, as far as memory for it is granted."""
        self._kept = Kept()

    def _fetched(self, indices: Indices) -> tuple[Any, Any]:
        with at_hand(self.device), as_written():
            seed_everything(mix(JUDGE, READ), self.device)
            return self._batch(self._item(index) for index in self._listed(indices))

    def read(self, indices: Indices) -> tuple[Any, Any]:
        """The same under the default generators as they are; whoever calls has seeded them."""
        if self.is_tensors:
            return taken(self.source, indices)
        return self._batch(self.source[index] for index in self._listed(indices))

    def _item(self, index: int) -> Any:
        seed_everything(mix(JUDGE, READ, index), _HOST)
        return self.source[index]

    def _listed(self, indices: Indices) -> list[int]:
        if isinstance(indices, slice):
            return list(range(*indices.indices(self.count)))
        return [int(i) for i in (indices.tolist() if isinstance(indices, Tensor) else indices)]

    def _batch(self, items: Iterator[Any]) -> tuple[Any, Any]:
        listed = list(items)
        if self.collate is not None:
            return pair_of(self.collate(listed), f"`collate_fn` of `{self.name}` returns")
        whose = f"`{self.name}` returns items that are"
        pair_of(listed[0], whose)  # which is refused before a batch of such
        try:
            batch = default_collate(listed)
        except (RuntimeError, TypeError, KeyError) as error:
            raise DataError(
                f"The items of `{self.name}` do not stack into a batch: {error}. Make every item a "
                "(input, target) pair of the same shape, or pass `collate_fn`."
            ) from error
        return pair_of(batch, whose)


def pair_of(value: Any, whose: str) -> tuple[Any, Any]:
    """(inputs, targets) of an item, a batch, or all data.

    Args:
        whose: How an error begins.

    Raises:
        DataError: There is no telling which part is the target.
    """
    if isinstance(value, Mapping):
        found = [key for key in TARGETS if key in value]
        if len(found) != 1 or len(value) == 1:
            raise DataError(
                f"{whose} a dictionary with the keys {', '.join(map(repr, value))}: one of "
                f"{', '.join(map(repr, TARGETS))} must be the target, and the others are what the "
                "model is called with. Pass a `collate_fn` that returns (inputs, targets)."
            )
        return {key: part for key, part in value.items() if key != found[0]}, value[found[0]]
    if isinstance(value, (tuple, list)) and len(value) >= 2:
        return value[0] if len(value) == 2 else tuple(value[:-1]), value[-1]
    raise DataError(
        f"{whose} of type {type(value).__name__}; each must be a pair (input, target) or a dictionary "
        "with `labels`."
    )


def different_items(name: str, where: int | str) -> str:
    """Why a step cannot be replayed."""
    return (
        f"`{name}` returned different items on a second read ({where}), though PyTorch's, Python's "
        "and NumPy's default generators were seeded alike: it draws from something that cannot be "
        "seeded (a generator of its own, the operating system) or changes while it is read, so a "
        "step cannot be replayed. Draw from a default generator, move random transforms to "
        "`augment=`, or read the data once with nongreedy.data.in_memory."
    )


def _in_memory(source: Any, name: str) -> tuple[Any, Any] | None:
    """(inputs, targets) where these are tensors that lie in memory, else None."""
    if type(source) is TensorDataset:
        source = source.tensors
    elif not _holds_tensors(source):
        return None
    inputs, targets = pair_of(source, f"`{name}` is")
    for part in leaves((inputs, targets)):
        if not isinstance(part, Tensor) or part.dim() == 0:
            what = "a number" if isinstance(part, Tensor) else type(part).__name__
            raise DataError(
                f"`{name}` holds {what}; convert it with torch.as_tensor first, or give a map-style "
                "Dataset of pairs (input, target)."
            )
    return inputs, targets


def _holds_tensors(source: Any) -> bool:
    """A dictionary, a pair, or a tuple of tensors; other sequences may be data sets, item by item."""
    if isinstance(source, (tuple, list)):
        alone = all(isinstance(part, Tensor) for part in source)
        return (len(source) == 2 and (alone or isinstance(source, tuple))) or (
            len(source) > 2 and alone and isinstance(source, tuple)
        )
    return isinstance(source, Mapping)


class _Rows(Dataset[Any]):
    """Tensors in memory as a data set of items, for a `collate_fn`."""

    def __init__(self, source: Any):
        self._nest = source.tensors if isinstance(source, TensorDataset) else source

    def __getitem__(self, index: int) -> Any:
        return each(self._nest, lambda part: part[index])


def _counted_rows(stored: tuple[Any, Any], name: str) -> int:
    inputs, targets = ([len(part) for part in leaves(half)] for half in stored)
    if len({*inputs, *targets}) > 1:
        raise DataError(
            f"`{name}` has {' and '.join(map(str, inputs))} inputs but "
            f"{' and '.join(map(str, targets))} targets. They must match."
        )
    return targets[0]


def counted_items(source: Any, name: str) -> int:
    if isinstance(source, IterableDataset):
        raise DataError(
            f"`{name}` is a stream ({type(source).__name__}), whose examples have no numbers, so that "
            "no step could be read a second time. Collect it into tensors (inputs, targets), or give "
            "a map-style Dataset, with __len__ and __getitem__."
        )
    if not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        raise DataError(
            f"`{name}` must be a pair of tensors (inputs, targets) or a map-style Dataset with "
            f"__len__ and __getitem__, but got {type(source).__name__}."
        )
    return len(source)
