"""Logarithmic axes: when, and with which ticks."""

from __future__ import annotations

import numpy as np

from .._figure import LOG_RATIO, number


def is_logarithmic(values: np.ndarray) -> bool:
    """Whether positive values span so much that a logarithmic axis shows more."""
    finite = values[np.isfinite(values)]
    return bool(len(finite)) and finite.min() > 0 and finite.max() / finite.min() > LOG_RATIO


def ticks(values: np.ndarray) -> tuple[list[float], list[str]]:
    """Places and texts for a logarithmic axis: powers of ten, with 2 and 5 where there are few."""
    finite = values[np.isfinite(values)]
    low, high = finite.min() / 1.5, finite.max() * 1.5
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    subs = (1, 2, 5) if high / low < 300 else (1,)
    stride = max(1, (last - first) // 7)
    places = [
        sub * 10.0**power
        for power in range(first, last + 1)
        for sub in subs
        if power % stride == 0 and low <= sub * 10.0**power <= high
    ]
    return places, [number(place) for place in places]
