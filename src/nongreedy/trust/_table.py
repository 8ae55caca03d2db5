"""A trust report in lines."""

import math
from collections.abc import Iterator, Mapping, Sequence

from ..schedules import Curve
from ..statistics import Growth, Sharing, Signal

_ROWS = 12  # of one hyperparameter; further ones are left out of the table
_HEAD = ("coefficient", "hypergradient", "noise", "signal/noise", "signs agree", "adjoints grow")


def signal_table(
    signals: Mapping[str, Signal], curves: Mapping[str, Curve], growth: Growth | None
) -> Iterator[str]:
    """One row for each coefficient."""
    if not signals:
        return
    widths = [max(len(word), 12) for word in _HEAD]
    widths[0] = max(widths[0], *(len(name) + 8 for name in signals))
    yield _row(_HEAD, widths)
    for name, signal in signals.items():
        factors = growth.over(curves[name].basis) if growth else None
        size = len(signal.mean)
        for j in range(min(size, _ROWS)):
            label = name if size == 1 else f"{name} {j + 1}/{size}"
            numbers = (f"{part[j]:.3g}" for part in (signal.mean, signal.noise, signal.ratio))
            factor = "" if factors is None else f"{factors[j]:.3g}"
            yield _row((label, *numbers, f"{signal.agreement[j]:.0%}", factor), widths)
        if size > _ROWS:
            clear = int(signal.clear.sum())
            yield f"{name}: {size - _ROWS} more; {clear} of {size} stand out of their noise"


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in rest)]).rstrip()


def sharing_line(name: str, sharing: Sharing) -> str:
    """The theorem's quantities, and the width that follows."""
    neighbors = sharing.neighbor_correlation
    known = "" if math.isnan(neighbors) else f", of neighbours {neighbors:.2f}"
    return (
        f"{name}: MSE_1 {sharing.mse_1:.3g}, drift {sharing.drift:.2g} per step, correlation "
        f"{sharing.correlation:.2f}{known}: W* = {sharing.width:.0f} steps, "
        f"measured {sharing.best:.0f}, {sharing.windows} window{'s' if sharing.windows > 1 else ''}"
    )
