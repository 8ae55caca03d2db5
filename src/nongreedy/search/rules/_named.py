"""Outer rules by name."""

from ...errors import nearest_name
from ._agreement import AgreementSearch
from ._rule import OuterRule
from ._sign_descent import SignDescent

_NAMED = {"auto": AgreementSearch, "default": AgreementSearch, "paper": SignDescent}


def outer_from(outer: str | OuterRule) -> OuterRule:
    """An outer rule, or the rule of a name: ``"auto"``, ``"default"``, ``"paper"``."""
    if isinstance(outer, OuterRule):
        return outer
    if outer not in _NAMED:
        raise ValueError(f"Unknown outer rule {outer!r}." + nearest_name(str(outer), _NAMED))
    return _NAMED[outer]()
