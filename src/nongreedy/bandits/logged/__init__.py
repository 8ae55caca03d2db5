"""Logged rounds of another policy: models of their rewards, and what a policy would have earned."""

from ...schedules._export import export
from ._log import Log
from ._models import linear_model, low_rank_model
from ._off_policy import PolicyValue, doubly_robust, inverse_propensity, self_normalised

__all__ = [
    "Log", "PolicyValue", "doubly_robust", "inverse_propensity", "linear_model", "low_rank_model",
    "self_normalised",
]  # fmt: skip

export(globals())
