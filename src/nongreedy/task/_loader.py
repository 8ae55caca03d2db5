"""A ``DataLoader`` taken apart into what a data plan is made of."""

from dataclasses import dataclass
from typing import Any

from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    default_collate,
)

from ..errors import DataError
from ._examples import Collate


@dataclass(frozen=True)
class Loading:
    """Data, and what a loader says of how they are read; None and 0 where it says nothing."""

    data: Any
    collate: Collate | None = None
    sampler: Any = None
    batch_size: int | None = None
    workers: int = 0


def taken_apart(source: Any, name: str) -> Loading:
    """What a ``DataLoader`` is made of; anything else is the data themselves.

    Raises:
        DataError: A loader of a stream, or of batches that it does not make itself.
    """
    if not isinstance(source, DataLoader):
        return Loading(source)
    data: Dataset[Any] = source.dataset
    if isinstance(data, IterableDataset):
        return Loading(data)  # which says itself why it cannot be
    batches: Any = source.batch_sampler
    if type(batches) is not BatchSampler:
        raise DataError(
            f"`{name}` is a DataLoader with {type(batches).__name__} as its "
            "batch_sampler, whose batches could not be drawn again from (seed, step). Pass its data "
            "set, batch_size= and, for unequal chances, sampler=."
        )
    sampler: Any = batches.sampler
    if type(sampler) is SubsetRandomSampler:
        data, sampler = Subset(data, [int(i) for i in sampler.indices]), None
    collate = None if source.collate_fn is default_collate else source.collate_fn
    return Loading(data, collate, sampler, batches.batch_size, source.num_workers)


def judged(source: Any, name: str) -> Loading:
    """Likewise, of data that judge: all of them, in any order.

    Raises:
        DataError: A loader that draws some examples more often than others.
    """
    loading = taken_apart(source, name)
    kind = type(loading.sampler)
    again = kind is RandomSampler and loading.sampler.replacement
    if loading.sampler is not None and (again or kind not in (SequentialSampler, RandomSampler)):
        raise DataError(
            f"`{name}` is a DataLoader with {kind.__name__} as its sampler, but all "
            "of these data judge, each example once. Pass its data set, or a Subset of it."
        )
    return loading
