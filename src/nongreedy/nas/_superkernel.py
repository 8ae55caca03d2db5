"""Superkernels: one depthwise kernel in which every smaller kernel and narrower layer is nested."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor


def ring_masks(kernels: Sequence[int]) -> Tensor:
    """Which taps each kernel adds to the one before it: shape (kernels, largest, largest).

    Example:
        >>> ring_masks((1, 3))[1].tolist()
        [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]
    """
    largest = kernels[-1]
    at = (torch.arange(largest) - largest // 2).abs()
    ring = torch.maximum(at[:, None], at[None, :])
    edges = [-1, *(kernel // 2 for kernel in kernels)]
    return torch.stack(
        [((ring > low) & (ring <= high)).float() for low, high in itertools.pairwise(edges)]
    )


def nested_kernel(weight: Tensor, masks: Tensor, bits: Sequence[Tensor]) -> Tensor:
    r"""The kernel that is convolved with.

    .. math:: w_k = w_0 + s_1 (w_1 + s_2 (w_2 + \dots))

    Args:
        weight: Shape (channels, 1, largest, largest).
        masks: :func:`ring_masks`.
        bits: One for each ring but the innermost.

    Source: arXiv:1904.02877, there for 3x3 in 5x5.
    """
    masks = masks.to(weight)
    total = weight * masks[-1]
    for mask, bit in zip(reversed(masks[:-1]), reversed(bits), strict=True):
        total = weight * mask + bit * total
    return total


def channel_mask(bits: Sequence[Tensor], widths: Sequence[int], like: Tensor) -> Tensor:
    r"""What channels of the expanded layer are multiplied by: shape (widths[-1],).

    The first `widths[0]` count always, the next with :math:`s_1`, those after with :math:`s_1 s_2`.
    """
    parts, factor = [like.new_ones(widths[0])], like.new_ones(())
    for bit, low, high in zip(bits, widths, widths[1:], strict=False):
        factor = factor * bit
        parts.append(factor.expand(high - low))
    return torch.cat(parts)


def effective_kernel(
    weight: Tensor,
    kernels: Sequence[int],
    widths: Sequence[int],
    kernel_bits: Sequence[Tensor],
    width_bits: Sequence[Tensor],
    layer_bit: Tensor,
) -> Tensor:
    r"""The superkernel as published, masked in all its parts.

    .. math:: w_\mathrm{eff} = s_\mathrm{layer} (w_k|_A + s_6\, w_k|_B)

    Blocks convolve with the nested kernel and mask *after* the activation instead: a channel whose
    kernel is zero is still the activation of a BatchNorm's bias.

    Example:
        >>> one = torch.ones(())
        >>> kernel = torch.ones(4, 1, 3, 3)
        >>> effective_kernel(kernel, (1, 3), (2, 4), [0 * one], [0 * one], one).sum()
        tensor(2.)
    """
    kernel = nested_kernel(weight, ring_masks(kernels), kernel_bits)
    mask = layer_bit * channel_mask(width_bits, widths, weight)
    return mask[:, None, None, None] * kernel
