"""A ``DataLoader`` taken apart into what a data plan is made of."""

from collections.abc import Mapping
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
    """What a ``DataLoader`` is made of, if it is not yet; anything else is the data themselves.

    Raises:
        DataError: A loader of a stream, or of batches that it does not make itself.
    """
    if not isinstance(source, DataLoader):
        return source if isinstance(source, Loading) else Loading(source)
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


def from_loaders(loaders: Mapping[str, DataLoader[Any] | None]) -> dict[str, Any]:
    """Arguments of a task from loaders by name, of which the validation's says how many are judged at once.

    Raises:
        DataError: Something else than a loader.
    """
    for name, loader in loaders.items():
        if not isinstance(loader, DataLoader) and not (name == "test" and loader is None):
            raise DataError(
                f"`{name}_loader` must be a DataLoader, but got {type(loader).__name__}. Data sets and "
                "tensors are given to ng.Task(model, loss, train, validation)."
            )
    size = taken_apart(loaders["validation"], "validation").batch_size
    return {**loaders, **({} if size is None else {"evaluation_batch_size": size})}
