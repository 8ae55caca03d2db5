"""Outer rules: how hyperparameters are improved given hypergradients."""

from __future__ import annotations

from ...errors import nearest_name
from ._agreement import AgreementSearch as AgreementSearch
from ._rule import OuterRule as OuterRule
from ._rule import OuterState as OuterState
from ._rule import Report as Report
from ._rule import sign_text as sign_text
from ._sign_descent import SignDescent as SignDescent

_NAMED = {"auto": AgreementSearch, "default": AgreementSearch, "paper": SignDescent}


def outer_from(outer: str | OuterRule) -> OuterRule:
    """An outer rule, or the rule of a name: ``"auto"``, ``"default"``, ``"paper"``."""
    if isinstance(outer, OuterRule):
        return outer
    if outer not in _NAMED:
        raise ValueError(f"Unknown outer rule {outer!r}." + nearest_name(str(outer), _NAMED))
    return _NAMED[outer]()
