"""Outer rules: how hyperparameters are improved given hypergradients."""

from __future__ import annotations

from .._errors import nearest_name
from .agreement import AgreementSearch as AgreementSearch
from .base import OuterRule as OuterRule
from .base import OuterState as OuterState
from .base import Report as Report
from .base import sign_text as sign_text
from .sign_descent import SignDescent as SignDescent

_NAMED = {"auto": AgreementSearch, "default": AgreementSearch, "paper": SignDescent}


def outer_from(outer: str | OuterRule) -> OuterRule:
    """An outer rule, or the rule of a name: ``"auto"``, ``"default"``, ``"paper"``."""
    if isinstance(outer, OuterRule):
        return outer
    if outer not in _NAMED:
        raise ValueError(f"Unknown outer rule {outer!r}." + nearest_name(str(outer), _NAMED))
    return _NAMED[outer]()
