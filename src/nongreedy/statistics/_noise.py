"""The noise of a hypergradient: over seeds, and what one seed says of its own."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..engines import Hypergradient
from ..schedules import Basis, TimeBasis

_BLOCKS = 32  # pieces of a run whose scatter estimates the noise of a sum over its steps


def on_basis(hypergradient: Hypergradient, name: str, basis: Basis, steps: int) -> Tensor:
    """The same hypergradient on a finer basis, where every per-step derivative is known."""
    if name not in hypergradient.per_step:
        return hypergradient.gradients[name]
    return basis.project(hypergradient.per_step[name], steps)


def error_of_mean(
    hypergradients: Sequence[Hypergradient], name: str, basis: Basis, steps: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean over the seeds of a hypergradient, its standard error over them, and the greater of that
    and the error that the seeds state of themselves: each of the shape of the coefficients.

    One seed has no scatter; where it states no error either, that is zero.
    """
    gradients = torch.stack([on_basis(h, name, basis, steps) for h in hypergradients])
    average, scatter = gradients.mean(0), torch.zeros_like(gradients[0])
    if len(hypergradients) > 1:
        scatter = gradients.std(0) / len(hypergradients) ** 0.5
    stated = (_own_variance(h, name, basis, steps) for h in hypergradients)
    variances = [variance for variance in stated if variance is not None]
    if not variances:
        return average, scatter, scatter
    error = torch.stack(variances).sum(0).sqrt() / len(hypergradients)
    return average, scatter, torch.maximum(scatter, error)


def _own_variance(
    hypergradient: Hypergradient, name: str, basis: Basis, steps: int
) -> Tensor | None:
    """What one seed says of its own noise: an estimating engine's error, or the scatter of its steps."""
    if name in hypergradient.standard_error:
        return hypergradient.standard_error[name].square()
    if name not in hypergradient.per_step or not isinstance(basis, TimeBasis):
        return None
    return block_variance(hypergradient.per_step[name], basis, steps)


def block_variance(per_step: Tensor, basis: TimeBasis, steps: int) -> Tensor:
    """Variance of each coefficient's sum over steps, from the scatter of its blocks.

    Neighbouring steps are correlated through momentum, blocks of a thirty-second of a run hardly.
    """
    index, weight = basis.taps(steps)
    size = basis.size(steps)
    block = (torch.arange(steps) * _BLOCKS) // steps
    cell = (block[:, None] * size + index).reshape(-1)

    def collect(shares: Tensor) -> Tensor:
        total = torch.zeros(_BLOCKS * size, dtype=torch.float64)
        return total.index_add_(0, cell, shares.reshape(-1)).view(_BLOCKS, size)

    parts, used = collect(per_step[:, None] * weight), collect(weight) > 0
    count = used.sum(0)
    center = parts.sum(0) / count.clamp(min=1)
    scatter = torch.where(used, parts - center, 0.0).square().sum(0)
    return scatter * count / (count - 1).clamp(min=1)
