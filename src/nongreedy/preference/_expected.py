"""The expected utility of deciding after an answer, for many slates at once, and its gradient.

Slots come first, samples last: utilities of b slates of k items have the shape (k, b, m).
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ..protocols import FeasibleSet
from ._belief import Belief
from ._response import Response

_ENTRIES = 1 << 21  # of a tensor of utilities at once: 16 MiB


def utilities_of(belief: Belief, slates: Tensor) -> Tensor:
    """Of slates of shape (b, k, d): shape (k, b, m)."""
    return slates.transpose(0, 1) @ belief.utilities.T


def posterior_sums(belief: Belief, chances: Tensor) -> Tensor:
    r"""Posterior means, not normalised: :math:`\mu_r = \sum_j w_j P(r \mid Q, u_j) u_j`.

    Args:
        chances: Of answers, shape (k, b, m).

    Returns:
        Shape (k, b, d).
    """
    return chances @ (belief.weights[:, None] * belief.utilities)


def posterior_value(belief: Belief, utilities: Tensor, reach: FeasibleSet) -> Tensor:
    r"""Expected utility of the best decision after the answer.

    .. math:: \mathrm{PEU}(Q) = \sum_r \max_{x \in X} \mu_r(Q) \cdot x

    Args:
        utilities: Of the slates' items, shape (k, b, m).
        reach: X, what may be recommended.

    Returns:
        Shape (b,).
    """
    chances = belief.response.probabilities(utilities, belief.scales)
    return reach.support(posterior_sums(belief, chances))[0].sum(0)


def ascent(
    belief: Belief, slates: Tensor, reach: FeasibleSet, response: Response, heat: float = 1.0
) -> tuple[Tensor, Tensor]:
    r"""The same with its gradient, by the envelope theorem: no derivative passes through the maximum.

    .. math:: \frac{\partial\,\mathrm{PEU}}{\partial q_i}
        = \sum_j w_j \sum_r \frac{\partial P(r \mid Q, u_j)}{\partial (u_j \cdot q_i)}\, (u_j \cdot x_r)\, u_j

    Args:
        slates: Shape (b, k, d).
        response: One that has a derivative.
        heat: The noise is multiplied by it.

    Returns:
        Values, shape (b,), and gradients, shape (b, k, d).
    """
    utilities, noise = utilities_of(belief, slates), heat * belief.scales
    chances = response.probabilities(utilities, noise)
    values, members = reach.support(posterior_sums(belief, chances))
    gains = members @ belief.utilities.T  # G, shape (k, b, m)
    adjoint = response.pull_back(utilities, noise, gains)
    return values.sum(0), posterior_sums(belief, adjoint).transpose(0, 1)


def chunks(count: int, belief: Belief, slots: int) -> Iterator[slice]:
    """Slices of so many slates, whose utilities fit the limit of memory."""
    size = max(1, _ENTRIES // (len(belief.weights) * slots))
    for low in range(0, count, size):
        yield slice(low, min(low + size, count))
