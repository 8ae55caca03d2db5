"""``embedding_bag`` written out in functions that PyTorch can differentiate twice, unlike its own."""

import torch
from torch import Tensor
from torch.nn import functional


def embedding_bag(
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
    """As ``torch.nn.functional.embedding_bag``, but for max_norm and scale_grad_by_freq.

    Raises:
        ValueError: One of these two, which make the gradient that of no loss.
    """
    del norm_type, sparse
    if max_norm is not None or scale_grad_by_freq:
        raise ValueError(
            f"embedding_bag with {max_norm=}, {scale_grad_by_freq=} cannot be differentiated twice. "
            "Leave them out, or use engine=ng.FiniteDifference()."
        )
    bags, tokens, count = _bags(input, offsets, include_last_offset)
    rows = functional.embedding(tokens, weight)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape(-1, 1)
    if padding_idx is not None:
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
