"""The training gradient of a batch that is computed in micro-batches, and what cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from ..task import FlatModule
from ._linearized import Linearized

_ROUNDING = 1000  # units in the last place that two ways to sum a loss may be apart
_LOOKS = 6  # batches of the run
# In place of a micro-batch's number: the whole batch, and the same with other draws.
WHOLE, REDRAWN = -1, -2


@dataclass(frozen=True)
class Accumulated(Linearized):
    r"""A batch's gradient :math:`g = \sum_k \frac{n_k}{n} g_k`, its micro-batches' graphs one at a time.

    What is asked for is computed again from each part, so that one part's graph is held at once.

    Attributes:
        again: A micro-batch's number -> its share of the gradient, with its graph.
        count: How many there are.
        epsilon: Of the least precise numbers on the way.
    """

    again: Callable[[int], Linearized]
    count: int
    epsilon: float

    @property
    def coarse(self) -> float:
        return self.epsilon

    def pull_back(self, vector: Tensor, keep: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        product, rest = self.again(0).pull_back(vector)
        for number in range(1, self.count):
            more, others = self.again(number).pull_back(vector)
            product, rest = product + more, {n: v + others[n] for n, v in rest.items()}
        return product, rest

    def push_all(self, tangents: Tensor, moved: Mapping[str, Tensor]) -> Tensor:
        total = self.again(0).push_all(tangents, moved)
        for number in range(1, self.count):
            total = total + self.again(number).push_all(tangents, moved)
        return total

    def push(self, tangent: Tensor, moved: Mapping[str, Tensor]) -> Tensor:
        rows = {name: value.unsqueeze(0) for name, value in moved.items()}
        return self.push_all(tangent.unsqueeze(0), rows)[0]


def accumulated(
    again: Callable[[int], Linearized], rest: tuple[Tensor, Tensor], count: int
) -> Accumulated:
    """From the first micro-batch with its graph, and loss and gradient of all others together."""
    first = again(0)
    loss, gradient = (one.detach() for one in (first.loss, first.gradient))
    return Accumulated(
        loss + rest[0], first.parameters.detach(), first.hypers, gradient + rest[1], first.gate,
        first.held, again, count, first.coarse,
    )  # fmt: skip


def refuse_batch_norm(module: FlatModule, accumulate: int) -> None:
    """Raise ValueError where a layer takes the statistics of the whole batch."""
    for name, part in module.module.named_modules():
        if isinstance(part, _BatchNorm) and part not in module.frozen:
            raise ValueError(
                f"accumulate={accumulate} cannot split what BatchNorm {name!r} takes the statistics of: the "
                "whole batch. Use GroupNorm or LayerNorm, freeze it (evaluation mode), or leave accumulate "
                "out."
            )


Share = Callable[[int, int, bool], Tensor]  # (step, part, training) -> its share of the loss


def refuse_indivisible(share: Share, steps: int, accumulate: int, coarse: float) -> None:
    """Raise ValueError where a batch's loss is not the mean of its micro-batches'.

    Where training draws (dropout), it is looked at in evaluation mode; what draws there, too, or fails, is
    left to the verification of the task, which trains in the same parts.

    Args:
        coarse: Epsilon of the least precise numbers that it is computed with.
    """
    training = _draws_nothing(share, True)
    if not training and not _draws_nothing(share, False):
        return
    limit = max(_ROUNDING * min(coarse, torch.finfo(torch.float32).eps), 2 * coarse)
    for step in sorted({steps * look // _LOOKS for look in range(_LOOKS)}):
        whole = share(step, WHOLE, training).item()
        parts = sum(share(step, part, training).item() for part in range(accumulate))
        if math.isfinite(whole) and not abs(whole - parts) <= limit * (1 + abs(whole)):
            raise ValueError(
                f"accumulate={accumulate} cannot split this loss: of the batch at step {step} it is "
                f"{whole:.6g}, and the mean over its micro-batches is {parts:.6g}. It must be a mean over "
                "examples, without class weights or ignored targets, and no layer may mix examples. Leave "
                "accumulate out, or divide by the number of examples."
            )


def _draws_nothing(share: Share, training: bool) -> bool:
    try:
        return share(0, WHOLE, training).item() == share(0, REDRAWN, training).item()
    except Exception:
        if training:
            raise
        return False  # some models have no loss in evaluation mode
