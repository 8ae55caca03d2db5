"""Torch data sets: any map-style ``Dataset`` as two tensors."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from ..errors import DataError

_READ_TWICE = 8  # enough to catch a coin flip in 255 of 256 cases


def in_memory(dataset) -> tuple[Tensor, Tensor]:
    """Read a whole map-style data set into memory, in order.

    A run that is differentiated is replayed, so an example must be the same whenever it is read.
    Some items are therefore read a second time and compared.

    Args:
        dataset: Anything with ``len(dataset)`` and ``dataset[i] -> (input, target)``, where both
            are tensors, NumPy arrays or numbers, of one shape for all items.

    Returns:
        Inputs ``(N, ...)`` and targets ``(N, ...)``, in their own dtypes (Python integers become
        int64, Python floats float32).

    Raises:
        DataError: If the data set is empty, has no length, gives items of another form or of
            different shapes, or gives other items on a second read.

    Cannot: prove that a transform is deterministic; a change that is rare, or outside the items
    read twice, stays unseen here.

    Example:
        >>> dataset = torch.utils.data.TensorDataset(torch.zeros(5, 2), torch.arange(5))
        >>> inputs, targets = in_memory(dataset)
        >>> inputs.shape, targets.dtype
        (torch.Size([5, 2]), torch.int64)
    """
    by_index = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    # A stream inherits __getitem__ from Dataset, and may announce a length.
    if not by_index or isinstance(dataset, IterableDataset):
        raise DataError(
            f"{_name(dataset)} has no length or no items by index. Give a map-style Dataset, or "
            f"collect a stream into tensors (inputs, targets) first."
        )
    count = len(dataset)
    if count == 0:
        raise DataError(f"{_name(dataset)} is empty. Give a data set with at least one item.")
    first = _item(dataset, 0)
    inputs, targets = (torch.empty((count, *v.shape), dtype=v.dtype) for v in first)
    for index in range(count):
        for stack, value in zip((inputs, targets), _item(dataset, index), strict=True):
            _check_alike(dataset, index, value, stack)
            stack[index] = value
    _check_second_read(dataset, (inputs, targets))
    return inputs, targets


def _item(dataset, index: int) -> tuple[Tensor, Tensor]:
    item = dataset[index]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise DataError(
            f"Item {index} of {_name(dataset)} is a {type(item).__name__}, not a pair "
            f"(input, target). Wrap the data set so that it returns pairs."
        )
    return _tensor(dataset, index, item[0]), _tensor(dataset, index, item[1])


def _tensor(dataset, index: int, value) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray | np.generic | int | float):
        try:
            return torch.as_tensor(value)
        except TypeError as error:
            raise DataError(f"Item {index} of {_name(dataset)}: {error} Convert it.") from error
    raise DataError(
        f"Item {index} of {_name(dataset)} holds a {type(value).__name__}, not a tensor, array or "
        f"number. For images add torchvision.transforms.ToTensor() to the data set's transforms."
    )


def _check_alike(dataset, index: int, value: Tensor, stack: Tensor) -> None:
    if value.shape != stack.shape[1:] or value.dtype != stack.dtype:
        raise DataError(
            f"Items of {_name(dataset)} must be alike, but item 0 has {tuple(stack.shape[1:])} "
            f"{stack.dtype} and item {index} has {tuple(value.shape)} {value.dtype}. Resize, pad "
            f"or convert them in the data set."
        )


def _check_second_read(dataset, stacks: tuple[Tensor, Tensor]) -> None:
    count = len(stacks[0])
    for index in sorted({position * count // _READ_TWICE for position in range(_READ_TWICE)}):
        for stack, value in zip(stacks, _item(dataset, index), strict=True):
            before, now = stack[index].double(), value.double().cpu()
            if not torch.allclose(before, now, rtol=0, atol=0, equal_nan=True):
                raise DataError(
                    f"{_name(dataset)} returns different items on a second read (item {index}), "
                    f"so a run could not be replayed. Move random transforms to `augment=`, "
                    f"which draws them from the run's seed."
                )


def _name(dataset) -> str:
    return f"The data set {type(dataset).__name__}"
