"""Networks that take the steps of another trainer: a whole batch goes in, and its loss comes out."""

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn
from torch.utils.data import DataLoader, default_collate

from ..errors import DataError, nearest_name
from ._examples import counted_items, pair_of
from ._loader import Loading, taken_apart
from ._micro_batches import Collated

# Settings of a task that are not another trainer's.
_OURS = {
    "accumulate", "batch_size", "constant_buffers", "device", "evaluation_batch_size", "initialize", "metric",
    "num_workers", "split_seed", "test", "verify",
}  # fmt: skip


class Whole(NamedTuple):
    """All that a step is given: the batch, and in training the number of the step."""

    batch: Any
    step: int | None = None


def stepping(network: nn.Module, step: Callable[[Any, Whole], Mapping[str, Any]]) -> nn.Module:
    """The network, taken over, which does a step where it is called with a whole batch.

    Elsewhere it does what its class says, and its parameters keep their names.
    """

    def forward(self: Any, *given: Any, **named: Any) -> Any:
        if given and isinstance(given[0], Whole):
            return step(self, given[0])
        return type(self).forward(self, *given, **named)

    # A method, of which a copy of the network has its own, as it would not of a function.
    network.forward = types.MethodType(forward, network)
    return network


def whole(
    loader: Any, name: str, made: Callable[[Callable[..., Any]], Any] | None = None
) -> Loading:
    """A loader's data, in its order, whose batches go whole into the network.

    Args:
        made: The loader's collation -> one whose batches a step is given.

    Raises:
        DataError: What is no ``DataLoader``, or one of a stream, or that cannot be taken apart.
    """
    if not isinstance(loader, DataLoader):
        raise DataError(
            f"`{name}` must be one torch DataLoader, but got {type(loader).__name__}. Give the one that "
            "is meant, or a DataLoader of your data set."
        )
    loading = taken_apart(loader, name)
    counted_items(loading.data, name)
    collate = loading.collate or default_collate
    collate = collate if made is None else made(collate)

    def collated(items: list[Any]) -> tuple[Any, Any]:
        batch = collate(items)
        return (Whole(batch),), _target(batch)

    return replace(loading, collate=collated)


def _target(batch: Any) -> Any:
    """What is told as the target beside a batch; None where nobody can tell."""
    if isinstance(batch, Collated):
        return None
    try:
        return pair_of(batch, "")[1]
    except DataError:
        return None


def only_ours(settings: Iterable[str], road: str) -> None:
    """Raise TypeError at a setting that is the other trainer's, or nobody's."""
    for name in settings:
        if name not in _OURS:
            raise TypeError(
                f"Task.{road} takes no {name!r}: model, loss and data are those of what it is given."
                + nearest_name(name, _OURS)
            )
