"""What another policy would have earned, from rounds that were logged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._log import Log


@dataclass(frozen=True)
class PolicyValue:
    """Mean reward of a policy, and its standard error.

    Attributes:
        effective: Rounds that the weights are worth: squared sum over sum of squares.
    """

    value: float
    standard_error: float
    effective: float

    def __str__(self) -> str:
        return f"{self.value:.5f} ± {self.standard_error:.5f}"


def inverse_propensity(log: Log, probabilities: Tensor) -> PolicyValue:
    r"""Rewards weighed by how much more probable they are under the policy: unbiased.

    .. math:: \frac1n\sum_i w_i r_i,\qquad w_i = \pi(a_i|x_i)/p_i

    Args:
        log: Whose propensities are true.
        probabilities: :math:`\pi(\cdot|x_i)`, shape (n, items), rows with sum 1.

    Raises:
        ValueError: Another shape, or rows that are no probabilities.

    Source: Horvitz & Thompson 1952.

    Example:
        >>> import torch
        >>> log = Log(torch.ones(4, 1), torch.tensor([0, 1, 0, 1]), torch.tensor([1.0, 0, 1, 0]),
        ...           torch.full((4,), 0.5), 2)
        >>> inverse_propensity(log, torch.tensor([[1.0, 0.0]]).expand(4, 2)).value
        1.0
    """
    weights = _weights(log, probabilities)
    return _mean(weights * log.rewards, weights)


def self_normalised(log: Log, probabilities: Tensor) -> PolicyValue:
    r"""The same over the sum of the weights: a little bias, less variance, and never beyond the rewards.

    .. math:: \sum_i w_i r_i / \sum_i w_i

    Its standard error is that of the linearised ratio.

    Raises:
        ValueError: As :func:`inverse_propensity`; or no logged item has a weight.

    Source: Swaminathan & Joachims 2015.

    Example:
        >>> import torch
        >>> log = Log(torch.ones(2, 1), torch.tensor([0, 1]), torch.tensor([1.0, 0]),
        ...           torch.full((2,), 0.5), 2)
        >>> self_normalised(log, torch.full((2, 2), 0.5)).value
        0.5
    """
    weights = _weights(log, probabilities)
    total = float(weights.sum())
    if total <= 0:
        raise ValueError(
            "No logged item has a positive probability under the policy: nothing is known."
        )
    value = float(weights @ log.rewards) / total
    spread = weights * (log.rewards - value)
    error = float(spread.square().sum()) ** 0.5 / total
    return PolicyValue(value, error, _effective(weights))


def doubly_robust(log: Log, probabilities: Tensor, predicted: Tensor) -> PolicyValue:
    r"""A model's prediction, and its error on the logged rounds, weighed: unbiased whatever the model.

    .. math:: \frac1n\sum_i \sum_a \pi(a|x_i)\,\hat q(x_i, a) + w_i\,(r_i - \hat q(x_i, a_i))

    Args:
        predicted: :math:`\hat q`, shape (n, items), of a model that has not seen these rounds.

    Raises:
        ValueError: As :func:`inverse_propensity`.

    Source: Dudik, Langford & Li 2011.

    Example:
        >>> import torch
        >>> log = Log(torch.ones(2, 1), torch.tensor([0, 1]), torch.tensor([1.0, 0]),
        ...           torch.full((2,), 0.5), 2)
        >>> exact = torch.tensor([[1.0, 0.0]]).expand(2, 2)
        >>> str(doubly_robust(log, torch.full((2, 2), 0.5), exact))
        '0.50000 ± 0.00000'
    """
    weights = _weights(log, probabilities)
    if predicted.shape != probabilities.shape:
        raise ValueError(f"`predicted` must have shape {tuple(probabilities.shape)}.")
    at = predicted.double()[torch.arange(len(log)), log.items]
    direct = (probabilities.double() * predicted.double()).sum(1)
    return _mean(direct + weights * (log.rewards - at), weights)


def _weights(log: Log, probabilities: Tensor) -> Tensor:
    wanted = (len(log), log.count)
    if tuple(probabilities.shape) != wanted:
        raise ValueError(
            f"`probabilities` must have shape {wanted}, but got {tuple(probabilities.shape)}."
        )
    rows = probabilities.double()
    if not bool((rows >= 0).all()) or not torch.allclose(
        rows.sum(1), torch.ones(len(log)).double()
    ):
        raise ValueError("`probabilities` must be rows of numbers of at least 0 whose sum is 1.")
    return rows[torch.arange(len(log)), log.items] / log.propensities


def _mean(samples: Tensor, weights: Tensor) -> PolicyValue:
    error = float(samples.std()) / len(samples) ** 0.5
    return PolicyValue(float(samples.mean()), error, _effective(weights))


def _effective(weights: Tensor) -> float:
    squares = float(weights.square().sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0
