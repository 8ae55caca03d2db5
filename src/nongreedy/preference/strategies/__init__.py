"""Strategies: how the next question is found, ours and those that it is compared with."""

from ...schedules._export import export
from ._approximate import Approximate, RecallWarning
from ._criterion import BestOfSlate, ChoiceInformation, Criterion, DecisionValue, Information
from ._exact import Exact
from ._greedy import Greedy, QueryIteration
from ._listed import Listed
from ._partial import Partial
from ._relaxed import Relaxed
from ._simple import Random, Thompson, TopK
from ._strategy import Strategy

__all__ = [
    "Approximate",
    "BestOfSlate",
    "ChoiceInformation",
    "Criterion",
    "DecisionValue",
    "Exact",
    "Greedy",
    "Information",
    "Listed",
    "Partial",
    "QueryIteration",
    "Random",
    "RecallWarning",
    "Relaxed",
    "Strategy",
    "Thompson",
    "TopK",
]

export(globals())
