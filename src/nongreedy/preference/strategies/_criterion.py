"""What a question is chosen for: the decision, the slate itself, or knowledge."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ...protocols import FeasibleSet
from .._belief import Belief
from .._expected import posterior_value


class Criterion(abc.ABC):
    """A number for each slate, to be made large."""

    @abc.abstractmethod
    def scores(self, belief: Belief, utilities: Tensor, reach: FeasibleSet) -> Tensor:
        """Of slates whose items have utilities of shape (k, b, m): shape (b,).

        Args:
            reach: What may be recommended after the answer.
        """


@final
@dataclass(frozen=True)
class DecisionValue(Criterion):
    """Expected utility of what is recommended after the answer; less a constant, EVOI."""

    def scores(self, belief: Belief, utilities: Tensor, reach: FeasibleSet) -> Tensor:
        return posterior_value(belief, utilities, reach)


@final
@dataclass(frozen=True)
class BestOfSlate(Criterion):
    """Expected utility of the slate's best item: EUBO, which is Bayes-optimal in one step where answers
    have no noise (arXiv:2303.15746). Submodular, so that greedy slates are within 1 - 1/e."""

    def scores(self, belief: Belief, utilities: Tensor, reach: FeasibleSet) -> Tensor:
        del reach
        return utilities.amax(0) @ belief.weights


@final
@dataclass(frozen=True)
class Information(Criterion):
    """What the answer tells of utilities in nats, whether or not a decision depends on it."""

    def scores(self, belief: Belief, utilities: Tensor, reach: FeasibleSet) -> Tensor:
        del reach
        chances = belief.response.probabilities(utilities, belief.scales)
        within = torch.special.entr(chances).sum(0) @ belief.weights
        return torch.special.entr(chances @ belief.weights).sum(0) - within


@final
@dataclass(frozen=True)
class ChoiceInformation(Criterion):
    """What the answer tells in nats of which item is best: above zero also where no single answer would
    change what is recommended, and EVOI is level."""

    def scores(self, belief: Belief, utilities: Tensor, reach: FeasibleSet) -> Tensor:
        chances = belief.response.probabilities(utilities, belief.scales) * belief.weights
        _, best = reach.support(belief.utilities)
        _, kinds = best.unique(dim=0, return_inverse=True)
        groups = torch.zeros(len(kinds), int(kinds.max()) + 1, dtype=torch.float64)
        groups[torch.arange(len(kinds)), kinds] = 1
        joint = chances @ groups  # of answer and best item: (k, b, groups)
        shares = belief.weights @ groups
        alone = torch.special.entr(joint.sum(-1)).sum(0) + torch.special.entr(shares).sum()
        return alone - torch.special.entr(joint).sum((0, -1))
