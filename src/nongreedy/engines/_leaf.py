"""A setting that is a leaf, or the short name of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ..errors import check_name

L = TypeVar("L")


def leaf_from(what: str, given: str | L, kind: type[L], names: Mapping[str, type[L]]) -> L:
    """A leaf, or that of a name with its default settings.

    Args:
        what: The setting's name, for an error.
        kind: The contract that every leaf fulfils.

    Raises:
        ValueError: Neither a leaf nor a name.
    """
    if isinstance(given, kind):
        return given
    check_name(what, given, names)
    return names[str(given)]()
