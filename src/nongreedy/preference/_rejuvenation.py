"""Samples that have become few, drawn again and moved: resampling and Metropolis' random walk."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

STEPS = 40
_WANTED = 0.28  # accepted proposals, about where a walk in a few dimensions forgets fastest


def rejuvenated(
    latents: Tensor,
    weights: Tensor,
    log_target: Callable[[Tensor], Tensor],
    source: torch.Generator,
    steps: int = STEPS,
) -> Tensor:
    """Draw samples by their weights, then let each walk on the target.

    Args:
        latents: Shape (m, d).
        weights: Shape (m,), of sum 1.
        log_target: Shape (m, d) -> (m,), up to a constant; minus infinity where it is impossible.
        source: Of all draws.
        steps: Of the walk.

    Returns:
        Shape (m, d), of equal weight.
    """
    walkers = latents[systematic(weights, source)]
    factor = _factor(latents, weights)
    scale, level = 2.38 / math.sqrt(latents.shape[1]), log_target(walkers)
    for step in range(steps):
        moves = torch.randn(walkers.shape, generator=source, dtype=torch.float64) @ factor.T
        proposals = walkers + scale * moves
        proposed = log_target(proposals)
        draws = torch.rand(len(walkers), generator=source, dtype=torch.float64)
        accepted = draws.log() < proposed - level
        walkers = torch.where(accepted[:, None], proposals, walkers)
        level = torch.where(accepted, proposed, level)
        # All walkers share a scale, which moves less and less.
        scale *= math.exp((float(accepted.double().mean()) - _WANTED) / math.sqrt(1 + step))
    return walkers


def systematic(weights: Tensor, source: torch.Generator) -> Tensor:
    """Indices, each about as often as its weight asks: one uniform draw for all."""
    count = len(weights)
    start = torch.rand((), generator=source, dtype=torch.float64)
    places = (torch.arange(count, dtype=torch.float64) + start) / count
    return torch.searchsorted(weights.cumsum(0), places).clamp(max=count - 1)


def _factor(latents: Tensor, weights: Tensor) -> Tensor:
    """A square root of the weighted covariance, with enough on the diagonal to exist."""
    centred = latents - weights @ latents
    covariance = (centred * weights[:, None]).T @ centred
    floor = 1e-9 * float(covariance.diagonal().mean()) + 1e-12
    return torch.linalg.cholesky(covariance + floor * torch.eye(len(covariance)).double())
