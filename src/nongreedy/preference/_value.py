"""What a question is worth: the expected value of its answer for the decision."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import check_number, check_whole
from ..protocols import Estimate, FeasibleSet, generator
from ..task._streams import QUESTIONS
from ._belief import Belief
from ._expected import ascent, posterior_sums, posterior_value, utilities_of
from ._query import Query

_BOOTSTRAP = 40


@dataclass(frozen=True)
class Value:
    """The expected value of information of a question, in units of utility.

    Attributes:
        value: Judged on fresh samples: what is gained by whoever recommends, after each answer, what this
            belief would then, over what it recommends now. Noise may put it below zero.
        standard_error: Of the value, from the scatter over fresh samples.
        in_sample: On the belief's own samples, on which the question may have been chosen: never below
            zero, and too large by what was chosen by chance.
    """

    value: float
    standard_error: float
    in_sample: float


def evoi(
    belief: Belief, query: Query, items: FeasibleSet, fresh: Belief | None = None, repeats: int = 1
) -> Value:
    r"""Expected value of information of a question, with a standard error.

    .. math:: \mathrm{EVOI}(Q) = \sum_r \max_{x \in X} \mu_r(Q) \cdot x - \max_{x \in X} E[u] \cdot x

    Args:
        belief: Of utilities.
        query: The question.
        items: X, what may be recommended.
        fresh: A belief of the same answers from other draws; default ``belief.twin()``.
        repeats: Of a pair, how many independent answers to it are had before the decision.

    Raises:
        ValueError: Repeats of a slate that is no pair.

    Source: arXiv:1911.09153.

    Cannot: look further ahead than the one answer.

    Example:
        >>> from nongreedy.preference import Belief, Catalogue, Gaussian, Query, evoi
        >>> items = Catalogue([[1.0, 0.0], [0.0, 1.0]])
        >>> evoi(Belief(Gaussian.standard(2)), Query(items.points, (0, 1)), items).value > 0.3
        True
    """
    chances = outcomes(belief, query, repeats)[:, None]
    values, recommended = items.support(posterior_sums(belief, chances)[:, 0])
    now, chosen = items.support(belief.mean)
    fresh = belief.twin() if fresh is None else fresh
    # The decisions are those of the belief; fresh samples only judge them. So no maximum is taken of
    # what is noisy, and the mean of the differences has an honest standard error.
    judged = outcomes(fresh, query, repeats) * ((recommended - chosen) @ fresh.utilities.T)
    gains = judged.sum(0)
    mean = float(fresh.weights @ gains)
    error = float((fresh.weights * (gains - mean)).square().sum().sqrt())
    return Value(mean, error, max(0.0, float(values.sum() - now)))


def outcomes(belief: Belief, query: Query, repeats: int) -> Tensor:
    """Probabilities of what can be answered, for each sample: of each slot; of a pair that is asked several
    times, of how often it is the first. Shape (outcomes, m)."""
    chances = belief.probabilities(query)
    if repeats == 1:
        return chances
    check_whole("repeats", repeats)
    if query.slots != 2:
        raise ValueError(f"Only pairs have `repeats`, but the slate has {query.slots} items.")
    often = torch.arange(repeats + 1, dtype=torch.float64)[:, None]
    ways = torch.tensor([math.comb(repeats, k) for k in range(repeats + 1)], dtype=torch.float64)
    return ways[:, None] * chances[0] ** often * chances[1] ** (repeats - often)


@final
class PosteriorValue:
    """The value of deciding after a slate's answer, as a source of gradients for whoever relaxes slates.

    Args:
        belief: Of utilities.
        items: What may be recommended.

    Raises:
        ValueError: Answers whose probabilities have no derivative.

    Attributes:
        unit: Of costs: a sample answering about one slot.

    Example:
        >>> import torch
        >>> from nongreedy.preference import Ball, Belief, Gaussian, PosteriorValue
        >>> source = PosteriorValue(Belief(Gaussian.standard(2), samples=100), Ball([0.0, 0.0], 1.0))
        >>> source.estimate(torch.eye(2).double(), seed=0, budget=200).cost
        200.0
    """

    unit = "samples times slots"

    def __init__(self, belief: Belief, items: FeasibleSet):
        if belief.response.smooth() is not belief.response:
            raise ValueError(
                f"{belief.response} has no derivative: give a belief with Logistic() or Probit()."
            )
        self.belief, self.items = belief, items

    def estimate(self, point: Tensor, seed: int, budget: float) -> Estimate:
        """At a slate of shape (k, d): from all samples where the budget reaches, or else from some of
        them, drawn by `seed`; standard errors come from drawing samples again (bootstrap)."""
        check_number("budget", budget)
        slots, size = len(point), len(self.belief.weights)
        count = min(size, int(budget // slots))
        if count < 2:
            raise ValueError(f"A budget of {budget:g} is less than two samples of {slots} slots.")
        source = generator(seed, QUESTIONS)
        some = self.belief if count == size else _resampled(self.belief, count, source)
        value, gradient = self._ascent(some, point)
        # Decisions move with the samples, and the gradient jumps with them: only drawing again tells.
        drawn = [self._ascent(_resampled(some, count, source), point)[1] for _ in range(_BOOTSTRAP)]
        return Estimate(value, gradient, torch.stack(drawn).std(0), float(count * slots))

    def _ascent(self, belief: Belief, point: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = ascent(belief, point[None], self.items, belief.response)
        return value[0], gradient[0]


def _resampled(belief: Belief, count: int, source: torch.Generator) -> Belief:
    some = copy.copy(belief)
    some._place(belief.latents[torch.multinomial(belief.weights, count, True, generator=source)])
    some.weights = torch.full((count,), 1 / count, dtype=torch.float64)
    return some


def in_sample(belief: Belief, slates: Tensor, items: FeasibleSet) -> Tensor:
    """EVOI of slates of shape (b, k, d) on the belief's own samples: shape (b,)."""
    value = posterior_value(belief, utilities_of(belief, slates), items)
    return value - items.support(belief.mean)[0]
