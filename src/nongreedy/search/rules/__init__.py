"""Outer rules: how schedules are improved."""

from ...schedules._export import export
from ._agreement import AgreementSearch
from ._named import outer_from
from ._rule import OuterRule, OuterState
from ._sign_descent import SignDescent

__all__ = [
    "AgreementSearch", "OuterRule", "OuterState", "SignDescent", "outer_from",
]  # fmt: skip

export(globals())
