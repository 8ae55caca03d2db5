"""Which values the settings of an optimizer can have, by their names; and numbers of steps."""

import math
import operator
from contextlib import suppress
from typing import Any

from torch import Tensor

from ..errors import check_whole
from ._settings import base, scaled_by

_SIZE, _DECAY = (0.0, math.inf), (0.0, 1.0)
_SHARE = (0.0, math.nextafter(1.0, 2.0))
# The least value, and the one that is not reached. Of other names it is known that they are finite.
_RANGES = {
    **dict.fromkeys(("learning_rate", "adam_learning_rate", "lr"), _SIZE),
    **dict.fromkeys(("weight_decay", "epsilon", "momentum_decay"), _SIZE),
    **dict.fromkeys(
        ("momentum", "beta1", "beta2", "smoothing", "average_decay", "average_interpolation"),
        _DECAY,
    ),
    "average_share": _SHARE,
}


def _range(name: str) -> tuple[float, float]:
    return _RANGES.get(scaled_by(name, _RANGES) or base(name)[0], (-math.inf, math.inf))


def out_of_range(name: str, values: Tensor, place: str) -> str | None:
    """What to say of the first value that cannot be, each of them one for a `place`."""
    low, high = _range(name)
    wrong = (~values.isfinite() | (values < low) | (values >= high)).reshape(-1)
    if not wrong.any():
        return None
    first = int(wrong.nonzero()[0])
    bound = "" if low == -math.inf else f" of at least {low:g}"
    bound += "" if high == math.inf else f" and {'at most' if high > 1 else 'less than'} {high:g}"
    return (
        f"{name} is {values.reshape(-1)[first].item():g} at {place} {first} of {len(values)}, but must "
        f"be a finite number{bound}: give such a number."
    )


def beyond(name: str, bounds: tuple[float, float]) -> str | None:
    """What to say of bounds within which a search may come to a value that cannot be."""
    low, high = _range(name)
    if bounds[0] >= low and bounds[1] <= high:
        return None
    return (
        f"{name} may move within {bounds}, but no optimizer takes it outside [{low:g}, {high:g}"
        f"{']' if high == _SHARE[1] else ')'}: narrow `bounds` of its schedule."
    )


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number of steps, also one of NumPy's.

    Raises:
        ValueError: It is none, or below `least`.
    """
    if not isinstance(value, bool):
        with suppress(TypeError):
            value = operator.index(value)
    check_whole(name, value, least)
    return value
