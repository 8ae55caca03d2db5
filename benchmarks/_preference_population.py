"""A population of utilities from choices: a normal mixed logit, by expectation and maximization."""

from __future__ import annotations

import torch
from torch import Tensor

from nongreedy.preference import Gaussian

_ROUNDS, _NEWTON = 60, 12


def population(questions: Tensor, choices: Tensor, asked: Tensor) -> Gaussian:
    """Fit u ~ N(mean, covariance) to people's answers under the logistic model with tau = 1.

    Each person's posterior is normal around its mode (Laplace's approximation).

    Args:
        questions: Attributes, shape (people, T, k, d); slots that were not offered are NaN.
        choices: Slots, shape (people, T).
        asked: Which of the T are questions at all, shape (people, T).
    """
    attributes = questions.shape[-1]
    mean, covariance = torch.zeros(attributes).double(), torch.eye(attributes).double()
    modes = mean.expand(len(questions), -1).clone()
    for _ in range(_ROUNDS):
        precision = torch.linalg.inv(covariance)
        modes, spread = _posteriors(questions, choices, asked, mean, precision, modes)
        mean = modes.mean(0)
        centred = modes - mean
        covariance = spread.mean(0) + centred.T @ centred / len(modes)
    return Gaussian(mean, (covariance + covariance.T) / 2)


def _posteriors(
    questions: Tensor,
    choices: Tensor,
    asked: Tensor,
    mean: Tensor,
    precision: Tensor,
    modes: Tensor,
) -> tuple[Tensor, Tensor]:
    offered = ~questions[..., 0].isnan()
    points = questions.nan_to_num()
    chosen = points.gather(2, choices[..., None, None].expand(-1, -1, 1, points.shape[-1]))[:, :, 0]
    weight = asked.double()[..., None]
    curvature = precision.expand(len(modes), -1, -1)
    for _ in range(_NEWTON):
        logits = torch.einsum("ptkd,pd->ptk", points, modes).masked_fill(~offered, -torch.inf)
        chances = torch.softmax(logits, -1).nan_to_num()
        expected = torch.einsum("ptk,ptkd->ptd", chances, points)
        gradient = (weight * (chosen - expected)).sum(1) - (modes - mean) @ precision
        second = torch.einsum("pt,ptk,ptkd,ptke->pde", weight[..., 0], chances, points, points)
        second = second - torch.einsum("pt,ptd,pte->pde", weight[..., 0], expected, expected)
        curvature = second + precision
        modes = modes + torch.linalg.solve(curvature, gradient[..., None])[..., 0]
    return modes, torch.linalg.inv(curvature)
