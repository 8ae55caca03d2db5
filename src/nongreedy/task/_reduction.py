"""How the losses of slices add up, measured: where outputs cannot be put together."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from ._accuracy import IGNORED
from ._looks import Look
from ._loss_calls import SHARES, SHIFTED, SUM, WEIGHTS, Call, watched, whole_numbers
from ._nest import detached

_TRIED = 8  # slices, at most
_CLOSE = 1e-4  # of a loss in float32, by kernels for batches of other sizes


def weight_of(calls: Sequence[Call], targets: Any, count: int) -> Tensor:
    """What a mean over the targets that count is divided by, shape ().

    The divisor of the one cross-entropy that was called; else the number of targets that are not -100;
    else the number of examples.
    """
    weights = [weight for call in calls if (weight := call.weight) is not None]
    if len(weights) == 1:
        return weights[0]
    labels = _labels(targets)
    return torch.tensor(count) if labels is None else (labels != IGNORED).sum()


def shifted_weight(targets: Any) -> Tensor | None:
    """The same where a model predicts each token from those before, and the first of a row from nothing; None
    where targets are no rows of tokens."""
    labels = _labels(targets)
    return None if labels is None or labels.dim() < 2 else (labels[..., 1:] != IGNORED).sum()


def _labels(targets: Any) -> Tensor | None:
    whole = [x for x in tree_flatten(targets)[0] if whole_numbers(x)]
    return whole[0] if len(whole) == 1 else None


def reduction_of(loss: Callable[[Any, Any], Tensor], look: Look) -> str:
    """By which of four the losses of the halves of slices add up to those of the slices.

    Slices are tried until one is left: nothing tells a mean over examples from one over targets that
    count while all of them do. Where none is left, numbers of examples it is.
    """
    standing = [WEIGHTS, SHIFTED, SHARES, SUM]
    for index in range(min(len(look.parts), _TRIED)):
        rows = look.parts[index]
        if not isinstance(rows, Tensor) or len(rows) < 2:
            continue
        halves = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        (whole, _), *sides = (_seen(loss, look, index, part) for part in (rows, *halves))
        if math.isfinite(whole):
            standing = [by for by in standing if _fits(whole, sides, by)]
        if len(standing) < 2:
            break
    return standing[0] if standing else SHARES


def _seen(
    loss: Callable[[Any, Any], Tensor], look: Look, index: int, part: Tensor
) -> tuple[float, dict[str, float]]:
    """A loss, and by what it would be weighted."""

    def valued(output: Any, targets: Any) -> tuple[float, Any]:
        with look.mode():
            value = loss(output, targets)
        return float(value.detach()), detached(targets)

    (value, targets), calls = watched(lambda: look.answer(index, valued, part))
    weight, shifted = weight_of(calls, targets, len(part)), shifted_weight(targets)
    return value, {
        SUM: 1.0, SHARES: float(len(part)), WEIGHTS: float(weight),
        SHIFTED: math.nan if shifted is None else float(shifted),
    }  # fmt: skip


def _fits(whole: float, sides: Sequence[tuple[float, Mapping[str, float]]], by: str) -> bool:
    weighed = [(value, weights[by]) for value, weights in sides if weights[by]]
    if not weighed:  # nothing counts
        return whole == 0
    found = sum(value * weight for value, weight in weighed)
    if by != SUM:
        found /= sum(weight for _, weight in weighed)
    scale = max(abs(whole), *(abs(value) for value, _ in weighed))
    return abs(found - whole) <= _CLOSE * scale
