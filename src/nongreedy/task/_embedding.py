"""Embeddings whose training gradient can be differentiated: exactly, and at all.

The row of `padding_idx` gets no gradient though outputs depend on it, and `scale_grad_by_freq` divides
gradients by how often a row is looked up: to PyTorch both are parts of a backward pass, so that its second
derivative is that of another function. Here they are stop-gradients: of a weight w with the share s that
gets through, the value is s w + (1 - s) stop(w). ``embedding_bag`` is written out in functions that
PyTorch can differentiate twice, unlike its own.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ._stop_gradient import Gate


def _embedding(
    gate: Gate,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """As ``torch.nn.functional.embedding``, but for max_norm."""
    del norm_type, sparse
    _refuse_max_norm("embedding", max_norm)
    return torch.embedding(_shared(gate, input, weight, padding_idx, scale_grad_by_freq), input)


def _embedding_bag(
    gate: Gate,
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """As ``torch.nn.functional.embedding_bag``, but for max_norm and scale_grad_by_freq."""
    del norm_type, sparse
    _refuse_max_norm("embedding_bag", max_norm)
    if (
        scale_grad_by_freq and not gate.open
    ):  # 2.13 on a CPU divides by others than numbers of look-ups
        raise ValueError(
            "embedding_bag with scale_grad_by_freq=True has a gradient that cannot be differentiated. "
            "Leave it out, use nn.Embedding and a sum, or engine=ng.FiniteDifference()."
        )
    bags, tokens, count = _bags(input, offsets, include_last_offset)
    rows = torch.embedding(weight, tokens)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    if padding_idx is not None:  # these are in no bag
        kept = tokens != padding_idx % len(weight)
        bags, rows = bags[kept], rows[kept]
    if mode == "max":
        places = bags[:, None].expand_as(rows)
        empty = rows.new_zeros(count, rows.shape[1])
        return empty.scatter_reduce(0, places, rows, "amax", include_self=False)
    total = rows.new_zeros(count, rows.shape[1]).index_add(0, bags, rows)
    if mode == "sum":
        return total
    return total / torch.bincount(bags, minlength=count).clamp(min=1)[:, None]


def _anywhere(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same, also under ``no_grad``, where everything is stopped."""

    def called(gate: Gate, *args: Any, **kwargs: Any) -> Tensor:
        if torch.is_grad_enabled():
            return function(gate, *args, **kwargs)
        with torch.enable_grad():
            return function(gate, *gate.stop_all(args), **gate.stop_all(kwargs))

    return called


# In place of these, while a gradient is recorded.
EMBEDDINGS: dict[Any, Callable[..., Tensor]] = {
    functional.embedding: _anywhere(_embedding),
    functional.embedding_bag: _anywhere(_embedding_bag),
}


def _refuse_max_norm(function: str, max_norm: float | None) -> None:
    if max_norm is not None:
        raise ValueError(
            f"{function} with max_norm={max_norm} rescales the weights in place, which is no function of "
            "the parameters. Leave it out, and scale what is looked up."
        )


def _shared(
    gate: Gate, tokens: Tensor, weight: Tensor, padding_idx: int | None, by_frequency: bool
) -> Tensor:
    """The weights, of which each row lets through its share of a gradient."""
    if padding_idx is None and not by_frequency:
        return weight
    share = weight.new_ones(len(weight), 1)
    if by_frequency:
        counts = torch.bincount(tokens.reshape(-1), minlength=len(weight))
        share = share / counts.clamp(min=1)[:, None]
    if padding_idx is not None:
        share[padding_idx] = 0
    return weight * share + gate.stop(weight) * (1 - share)


def _bags(input: Tensor, offsets: Tensor | None, last: bool) -> tuple[Tensor, Tensor, int]:
    """The bag of each token, the tokens in one row, and the number of bags."""
    if offsets is None:
        count, size = input.shape
        return (
            torch.arange(count, device=input.device).repeat_interleave(size),
            input.reshape(-1),
            count,
        )
    ends = offsets if last else torch.cat([offsets, offsets.new_tensor([len(input)])])
    count = len(ends) - 1
    numbers = torch.arange(count, device=input.device).repeat_interleave(ends.diff())
    return numbers, input[: len(numbers)], count
