"""Looking at a set of examples in slices: which, in which order, and how outputs become one again."""

import functools
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from ._advice import Case, advising
from ._data_plan import JUDGE, Examples, generator, mix, to_device
from ._default_generator import seed_everything
from ._nest import detached

Part = Tensor | slice
Network = Callable[[Any], Any]
T = TypeVar("T")


@functools.lru_cache(maxsize=8)
def evaluation_parts(count: int, size: int) -> Sequence[Part]:
    """Nearly equal slices of at most `size` examples, so that none is tiny (BatchNorm).

    All in one slice where they fit; else drawn by a fixed shuffle, so that data that are sorted by class
    do not meet BatchNorm a class at a time.
    """
    if count <= size:
        return (slice(0, count),)
    order = torch.randperm(count, generator=generator(JUDGE))
    return tuple(part.sort().values for part in order.tensor_split(math.ceil(count / size)))


@dataclass(frozen=True)
class Look:
    """A network and the examples that it is judged on, in slices.

    Args:
        examples: What it is judged on.
        held: Calls a function of the network while that has its parameters; backward passes belong into
            the function.
        size: Examples per slice, at most.
        mode: What network, loss and their backward passes run under.
        leaf: What is differentiated by, shape (P,), or None.
        chosen: Numbers of examples; None is all.
    """

    examples: Examples
    held: Callable[[Callable[[Network], Any]], Any]
    size: int
    device: torch.device
    dtype: torch.dtype
    mode: Callable[[], AbstractContextManager[Any]] = nullcontext
    leaf: Tensor | None = None
    chosen: Tensor | None = None

    @functools.cached_property
    def count(self) -> int:
        return self.examples.count if self.chosen is None else len(self.chosen)

    @functools.cached_property
    def parts(self) -> Sequence[Part]:
        if self.chosen is None:
            return evaluation_parts(self.examples.count, self.size)
        return self.chosen.tensor_split(math.ceil(self.count / self.size))

    def share(self, index: int) -> float:
        """Of all examples, those in this slice."""
        return self.length(index) / self.count

    def length(self, index: int) -> int:
        """Of this slice, in examples."""
        part = self.parts[index]
        return part.stop - part.start if isinstance(part, slice) else len(part)

    def answer(self, index: int, then: Callable[[Any, Any], T], part: Tensor | None = None) -> T:
        """What `then` makes of (output, targets) of a slice, or of a part of it.

        Every draw has one seed for each slice.
        """
        batch = self.examples.fetch(self.parts[index] if part is None else part)
        inputs, targets = to_device(batch, self.device, self.dtype)
        numbers = self.rows(index) if part is None else part
        numbers = numbers if self.chosen is None or part is not None else self.chosen[numbers]

        def body(network: Network) -> T:
            seed_everything(mix(JUDGE, index), self.device)
            with advising(Case(self.examples, inputs, targets, numbers=numbers)) as case:
                with self.mode():
                    case.output = network(inputs)
                return then(case.output, targets)

        return self.held(body)

    def rows(self, index: int) -> Tensor:
        """Where in the whole, in the order of the examples or of those chosen, this slice's are."""
        part = self.parts[index]
        if self.chosen is None and isinstance(part, Tensor):
            return part
        begin = sum(map(self.length, range(index)))
        return torch.arange(begin, begin + self.length(index))

    def in_order(self, pieces: Sequence[Any]) -> Any:
        """Of the pieces of all slices the whole."""
        if len(pieces) == 1:
            return pieces[0]
        place = torch.cat([self.rows(index) for index in range(len(pieces))]).argsort()
        return taken(joined(pieces), place)

    def has_rows(self, output: Any, targets: Any) -> bool:
        """Whether outputs and targets of slices can be put together: tensors, an example a row.

        Two examples alone say so: a first dimension that is not theirs keeps its length.
        """
        few = 2 if self.length(0) != 2 else 3
        begin = torch.cat([part for part in self.parts[:3] if isinstance(part, Tensor)])[:few]
        short, form = tree_flatten(self.answer(0, lambda *answer: detached(answer), begin))
        long, same = tree_flatten((output, targets))
        rows = few, self.length(0)
        return form == same and all(_are_rows(*p, *rows) for p in zip(short, long, strict=True))


def _are_rows(short: Any, long: Any, few: int, many: int) -> bool:
    if short is None:
        return long is None
    tensors = isinstance(short, Tensor) and isinstance(long, Tensor)
    return tensors and short.shape == (few, *long.shape[1:]) and long.shape[:1] == (many,)


def taken(nest: Any, rows: Tensor) -> Any:
    """These rows of a nest of tensors."""
    return tree_map(lambda x: None if x is None else x[rows.to(x.device)], nest)


def joined(pieces: Sequence[Any]) -> Any:
    """Nests of tensors, one after the other along the examples."""
    flat = [tree_flatten(piece) for piece in pieces]
    columns = zip(*(leaves for leaves, _ in flat), strict=True)
    whole = [None if column[0] is None else torch.cat(column) for column in columns]
    return tree_unflatten(whole, flat[0][1])


def numbers_in(nest: Any) -> int:
    """How many numbers its tensors hold."""
    return sum(leaf.numel() for leaf in tree_flatten(nest)[0] if isinstance(leaf, Tensor))
