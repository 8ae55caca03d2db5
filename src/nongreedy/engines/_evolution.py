"""The hypothetical evolutionary step of EvoGrad, and the hypergradient through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ._copies import Copies, Execution
from ._probes import Probes
from ._run import Outcome


@dataclass(frozen=True)
class Evolution:
    r"""What one evolutionary step says.

    Attributes:
        outcome: Validation loss and accuracy at :math:`\theta^*`.
        coefficients: c, shape (K,), float64.
        temperature: tau.
        gradients: Name -> h, in the value's shape, float64.
    """

    outcome: Outcome
    coefficients: Tensor
    temperature: float
    gradients: Mapping[str, Tensor]


def evolve(
    copies: Copies,
    execution: Execution,
    parameters: Tensor,
    probes: Probes,
    temperature: float,
    relative: bool,
) -> Evolution:
    r"""Weigh the copies by their losses and differentiate the validation loss of their mean.

    The formulas are those of :class:`EvoGrad`. First-order derivatives only: the chain through the
    softmax is in the K numbers c, which sum to zero.

    Args:
        parameters: theta, shape (P,).
        temperature: tau, or with `relative` its ratio to the losses' standard deviation.
    """
    (losses, pull_back), noise, step = execution.losses(copies), copies.noise, copies.step
    tau = temperature * (_scatter(losses, step) if relative else 1.0)
    weights = torch.softmax(-losses / tau, 0)
    outcome, gradient = probes.gradient(parameters + noise.mean(weights), step)
    products = torch.stack([gradient @ noise.of(k) for k in range(noise.count)]).cpu().double()
    coefficients = -weights / tau * (products - weights @ products)
    gradients = pull_back(coefficients)
    return Evolution(outcome, coefficients, tau, gradients)


def _scatter(losses: Tensor, step: int) -> float:
    scatter = losses.std().item()
    if not scatter > 0:
        raise ValueError(
            f"At step {step} all copies have the loss {losses[0].item()!r}, so that no temperature "
            "is relative to their scatter. Raise `sigma`, or use relative=False."
        )
    return scatter
