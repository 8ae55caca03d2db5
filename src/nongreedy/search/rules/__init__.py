"""Outer rules: how schedules are improved."""

from ...schedules._export import export
from ._agreement import AgreementSearch
from ._begin import searchable, started
from ._model_search import ModelSearch
from ._named import outer_from
from ._rule import OuterRule, OuterState
from ._sign_descent import SignDescent

__all__ = [
    "AgreementSearch", "ModelSearch", "OuterRule", "OuterState", "SignDescent", "outer_from",
    "searchable", "started",
]  # fmt: skip

export(globals())
