"""A batch in parts, one after the other: what bounds the memory of a step."""

import math
from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ._loss_calls import watched
from ._nest import each
from ._streams import DROPOUT, mix

CLOSE = 1e-5  # relative
EVEN = "It must be a mean over examples, without class weights or ignored targets."
Index = Callable[[], Tensor]  # the numbers of a batch's examples
Part = tuple[Any, Index, float]  # of a batch: its examples, their numbers, its share of the loss


class Collated(NamedTuple):
    """Micro-batches that were collated each by itself, all of them, and which ones are meant."""

    batches: tuple[Any, ...]
    begin: int
    end: int

    def cut(self, begin: int, end: int, count: int) -> "Collated":
        """Those of these examples of so many.

        Raises:
            ValueError: A cut goes through one.
        """
        whole = len(self.batches)
        if begin * whole % count or end * whole % count:
            raise ValueError(
                f"Of {whole} micro-batches with {count} examples, {begin} to {end} are no whole ones. Let "
                f"accumulate be {whole}, or a number that divides it."
            )
        return self._replace(begin=begin * whole // count, end=end * whole // count)


def cut(batch: Any, begin: int, end: int, count: int) -> Any:
    """These examples of a batch of so many.

    Raises:
        ValueError: The batch holds what is not a row for each example.
    """

    def rows(leaf: Any) -> Any:
        if leaf is None:
            return None
        if isinstance(leaf, Collated):
            return leaf.cut(begin, end, count)
        if isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == count:
            return leaf[begin:end]
        said = f"a tensor of shape {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else None
        raise ValueError(
            f"A batch of {count} examples holds {said or repr(leaf)[:60]}, of which nobody knows which part "
            "belongs to which example. Give tensors whose first dimension counts examples (collate_fn=)."
        )

    return tree_map(rows, batch, is_leaf=_collated)


def micro_batch(batch: Any, index: Index, number: int, count: int) -> Part:
    """Part `number` of `count` of nearly equal size; a copy, which models may change in place."""
    numbers = index()
    size = len(numbers)
    begin, end = (size * k // count for k in (number, number + 1))
    part = each(cut(batch, begin, end, size), torch.clone)
    return part, lambda: numbers[begin:end], (end - begin) / size


def micro_batches(batch: Any, index: Index, count: int) -> Iterator[Part]:
    """All of them; the batch itself where there is one."""
    if count == 1:
        yield batch, index, 1.0
        return
    for number in range(count):
        yield micro_batch(batch, index, number, count)


def averages(batch: Any, share: float, loss: Callable[[], Tensor]) -> tuple[Tensor, list[float]]:
    """The loss of a part with this share of a batch; and over how many targets each of PyTorch's means within
    averages, times what the batch is of the part: the same for all parts, or it is no mean over these.

    One look at the first batches cannot tell: targets that are ignored may come later. The host waits for
    the targets.
    """
    if any(isinstance(part, Collated) for part in tree_leaves(batch, is_leaf=_collated)):
        return loss(), []  # whose trainer says how they add up
    value, calls = watched(loss)
    divisors = [divisor for call in calls if (divisor := call.divisor) is not None]
    return value, [float(divisor) / share for divisor in divisors]


class Evenness:
    """Whether a mean over a step's examples is the mean over its micro-batches."""

    def __init__(self) -> None:
        self._step, self._first = -1, list[float]()

    def check(self, step: int, averaged: list[float], share: float, accumulate: int) -> None:
        """Raise ValueError where a micro-batch averages over more than its share, or over less."""
        if self._step != step:
            self._step, self._first = step, averaged
        for first, now in zip_longest(self._first, averaged, fillvalue=0.0):
            if not math.isclose(first, now, rel_tol=CLOSE):
                raise ValueError(
                    f"accumulate={accumulate} cannot split this loss: at step {step} one micro-batch "
                    f"averages over {now * share:g} targets, where its share of another's would be "
                    f"{first * share:g}. {EVEN} Leave accumulate out, or divide a sum by the number of "
                    "examples."
                )


def _collated(node: Any) -> bool:
    return isinstance(node, Collated)


def dropout_seed(seed: int, step: int, number: int = 0) -> int:
    """Of what is drawn while a micro-batch is computed."""
    return mix(seed, DROPOUT, step, number) if number else mix(seed, DROPOUT, step)
