"""Preferences: which question to ask next, and what to choose when asking no longer pays."""

from ..schedules._export import export
from . import strategies
from ._attribute import Attribute, either, larger, smaller
from ._belief import Belief, ContradictionError
from ._dashboard import DashboardDialogue, ask
from ._dialogue import Dialogue, Question, usual_belief
from ._elicit import elicit
from ._items import Items, NoTradeoffError
from ._noise import KnownNoise, Noise, UncertainNoise
from ._prior import Gaussian, Mixture, Prior, Tradeoffs
from ._query import Answer, Query
from ._recommendation import Interval, Recommendation
from ._response import ConstantError, Logistic, Noiseless, Probit, Response
from ._sets import Ball, Catalogue, Hull
from ._stopping import Stopping
from ._surprise import ContradictionWarning
from ._value import PosteriorValue, Value, evoi

__all__ = [
    "Answer",
    "Attribute",
    "Ball",
    "Belief",
    "Catalogue",
    "ConstantError",
    "ContradictionError",
    "ContradictionWarning",
    "DashboardDialogue",
    "Dialogue",
    "Gaussian",
    "Hull",
    "Interval",
    "Items",
    "KnownNoise",
    "Logistic",
    "Mixture",
    "NoTradeoffError",
    "Noise",
    "Noiseless",
    "PosteriorValue",
    "Prior",
    "Probit",
    "Query",
    "Question",
    "Recommendation",
    "Response",
    "Stopping",
    "Tradeoffs",
    "UncertainNoise",
    "Value",
    "ask",
    "either",
    "elicit",
    "evoi",
    "larger",
    "smaller",
    "strategies",
    "usual_belief",
]

export(globals())
