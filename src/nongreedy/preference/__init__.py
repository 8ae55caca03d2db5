"""Preferences: which question to ask next, and what to choose when asking no longer pays."""

from ..schedules._export import export
from ._belief import Belief, ContradictionError
from ._noise import KnownNoise, Noise, UncertainNoise
from ._prior import Gaussian, Mixture, Prior, Tradeoffs
from ._query import Answer, Query
from ._response import ConstantError, Logistic, Noiseless, Probit, Response
from ._sets import Ball, Catalogue, Hull
from ._value import PosteriorValue, Value, evoi

__all__ = [
    "Answer",
    "Ball",
    "Belief",
    "Catalogue",
    "ConstantError",
    "ContradictionError",
    "Gaussian",
    "Hull",
    "KnownNoise",
    "Logistic",
    "Mixture",
    "Noise",
    "Noiseless",
    "PosteriorValue",
    "Prior",
    "Probit",
    "Query",
    "Response",
    "Tradeoffs",
    "UncertainNoise",
    "Value",
    "evoi",
]

export(globals())
