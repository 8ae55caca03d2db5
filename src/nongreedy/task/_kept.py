"""Batches of slow data sets, kept until they are asked for again, such as by a sweep."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import Tensor

from ._nest import each, tensors

MOST = 1 << 30  # bytes


class Kept:
    """The batches that were used last, as many as some bytes hold."""

    def __init__(self, most: int = MOST):
        self._most, self._size, self._rows = most, 0, OrderedDict[Any, tuple[Any, int]]()

    def get(self, key: Any, read: Callable[[], Any]) -> Any:
        """A copy of the batch of this key, which may be changed; read where it is not kept."""
        if key not in self._rows:
            batch = each(read(), Tensor.clone)  # not the shared memory of another process
            size = sum(part.nbytes for part in tensors(batch))
            self._rows[key], self._size = (batch, size), self._size + size
        self._rows.move_to_end(key)
        batch = each(self._rows[key][0], Tensor.clone)
        while self._size > self._most:
            self._size -= self._rows.popitem(last=False)[1][1]
        return batch
