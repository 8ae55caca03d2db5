"""Data parallel: the batch of each step in parts, one for each rank."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, distributed
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ..task import Task
from ..task._micro_batches import CLOSE, EVEN, cut
from ..task._shards import Shards
from ._ranks import Ranks


class _Spread(torch.autograd.Function):
    """What all ranks have, for each: its transpose is the sum, whose transpose it is in turn."""

    @staticmethod
    def forward(ctx: Any, shared: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return shared.view_as(shared)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Total.apply(grads[0], ctx.ranks), None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        # Not under a mode that takes what is computed without gradient for a stopped value.
        with torch._C.DisableTorchFunction(), ranks.waiting():
            summed = own.contiguous().clone()
            distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor):  # pyright: ignore[reportIncompatibleMethodOverride]
        return _Spread.apply(grads[0], ctx.ranks), None


@final
class RankShards(Shards):
    """Part k of n, of nearly equal size."""

    many = True

    def __init__(self, ranks: Ranks, summed: bool):
        self._ranks, self._summed, self._count, self._own = ranks, summed, 0, 0

    def spread(self, shared: Tensor) -> Tensor:
        out: Any = _Spread.apply(shared, self._ranks)
        return out

    def total(self, own: Tensor) -> Tensor:
        out: Any = _Total.apply(own, self._ranks)
        return out

    def least(self, number: int) -> int:
        return min(self._ranks.gather(number))

    def part(
        self, batch: Any, index: Callable[[], Tensor]
    ) -> tuple[Any, Callable[[], Tensor], float]:
        numbers = index()
        count = self._count = len(numbers)
        edges = [count * k // self._ranks.size for k in range(self._ranks.size + 1)]
        begin, end = edges[self._ranks.rank : self._ranks.rank + 2]
        self._own = end - begin

        share = 1.0 if self._summed else self._own / count
        return cut(batch, begin, end, count), lambda: numbers[begin:end], share

    def check_even(self, step: int, averaged: Sequence[float], device: torch.device) -> None:
        own = sum(number * mean for number, mean in enumerate(averaged, 1))
        both = self.total(torch.tensor([own, own**2], dtype=torch.float64, device=device))
        mean, square = (both / self._ranks.size).tolist()
        if not self._summed and square - mean**2 > (CLOSE * mean) ** 2:
            raise ValueError(
                f"Ranks cannot share this loss: at step {step} they average over unlike numbers of targets, "
                f"for their parts of the batch. {EVEN} Use one rank a run, or divide a sum by the number of "
                "examples."
            )

    def mode(self) -> TorchFunctionMode:
        return _Synchronized(self)

    def batch_norm(
        self, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Tensor:
        """With the statistics of the whole batch."""
        dims, shape = [0, *range(2, x.dim())], (1, -1) + (1,) * (x.dim() - 2)
        count = x.numel() // x.shape[1] // self._own * self._count

        def mean(values: Tensor) -> Tensor:
            return self.spread(self.total(values.sum(dims)) / count)

        centered = x - mean(x).view(shape)
        scale = (mean(centered * centered) + eps).rsqrt()
        scale = scale if weight is None else scale * weight
        scaled = centered * scale.view(shape)
        return scaled if bias is None else scaled + bias.view(shape)


class _Synchronized(TorchFunctionMode):
    """BatchNorm on batch statistics takes those of all parts."""

    def __init__(self, shards: RankShards):
        super().__init__()
        self._shards = shards

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.batch_norm:
            return self._batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if training and running_mean is None:
            return self._shards.batch_norm(input, weight, bias, eps)
        return functional.batch_norm(
            input, running_mean, running_var, weight, bias, training, momentum, eps
        )


def sharded(task: Task, ranks: Ranks, *, summed: bool = False) -> Task:
    """The same task, whose batches are spread over the ranks: one run by all of them, each step in parts.

    .. math:: g = \\sum_r \\frac{n_r}{n} \\nabla L_r, \\qquad H v = \\sum_r \\frac{n_r}{n} \\nabla^2 L_r v

    with :math:`L_r` the mean over part r. Gradients and Hessian-vector products are summed, BatchNorm takes
    the statistics of the whole batch, and the hypergradient is that of one process to rounding. All ranks
    must make the same calls; all of them come to the same numbers.

    Args:
        task: Its batches must be tensors whose first dimension counts examples.
        ranks: Each has at least one example of every batch.
        summed: Whether the loss is a sum over examples; else it is a mean.

    Returns:
        The task; the given one where there is one rank.

    Raises:
        ValueError: A batch is smaller than the number of ranks; a task with `accumulate`; parts of a batch
            that cannot be told apart (when it is read).
        VerificationError: When it is used, as for every task: what draws random numbers in the forward
            pass, such as dropout, or mixes examples, such as mixup, comes out otherwise in parts.

    Source: the library's own; one sum per gradient and one per product, as in data-parallel training.

    Cannot: speed up what is small: two sums over the network per step; share the validation data, which
    each rank looks at whole; be verified where ``verify=False``.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4)
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 1), torch.nn.functional.mse_loss, (x, x[:, :1]), 0.25,
        ...                batch_size=16)
        >>> sharded(task, Ranks()) is task
        True
    """
    if ranks.size == 1:
        return task
    if task.batch_size < ranks.size:
        raise ValueError(
            f"batch_size={task.batch_size} has no example for each of {ranks.size} ranks. Use a larger "
            "batch, or fewer ranks."
        )
    if task.accumulate > 1:
        raise ValueError(
            f"accumulate={task.accumulate} and ranks both cut a batch in parts. Make the task without "
            "accumulate: each rank then has a part at a time."
        )
    shared = copy.copy(task)
    shared.shards, shared.verified, shared.idle = RankShards(ranks, summed), {}, None
    return shared
