"""Checks of an engine's settings, made at its birth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..errors import nearest_name


def check_whole(name: str, value: object, least: int = 1, advice: str = "") -> None:
    """Raise ValueError unless this is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"`{name}` must be a whole number of at least {least}, but got {value!r}.{advice}"
        )


def check_number(name: str, value: Any, advice: str = "", zero: bool = False) -> None:
    """Raise ValueError unless this is a positive finite number, or zero where that is allowed."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    valid = known and math.isfinite(value) and (value > 0 or (zero and value == 0))
    if not valid:
        kind = "zero or a positive finite number" if zero else "a positive finite number"
        raise ValueError(f"`{name}` must be {kind}, but got {value!r}.{advice}")


def check_name(name: str, value: object, options: Iterable[str]) -> None:
    """Raise ValueError unless this is one of the names."""
    options = list(options)
    if value not in options:
        raise ValueError(f"Unknown `{name}` {value!r}." + nearest_name(str(value), options))
