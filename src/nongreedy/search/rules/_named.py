"""Outer rules by name."""

from ...errors import nearest_name
from ._agreement import AgreementSearch
from ._model_search import ModelSearch
from ._rule import OuterRule
from ._sign_descent import SignDescent

_NAMED = {
    "auto": ModelSearch,
    "default": ModelSearch,
    "agreement": AgreementSearch,
    "paper": SignDescent,
}


def outer_from(outer: str | OuterRule) -> OuterRule:
    """An outer rule, or that of a name: ``"auto"``, ``"default"``, ``"agreement"``, ``"paper"``."""
    if isinstance(outer, OuterRule):
        return outer
    if outer not in _NAMED:
        raise ValueError(f"Unknown outer rule {outer!r}." + nearest_name(str(outer), _NAMED))
    return _NAMED[outer]()
