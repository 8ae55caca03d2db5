"""Numbers, names and times in words."""

import math
from collections.abc import Iterable


def number(value: float, digits: int = 2) -> str:
    """Short, and exact enough to type again: 0.067, 5e-4, 0."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
    return _scientific(value, digits)


def alike(values: Iterable[float], digits: int = 3) -> list[str]:
    """Numbers that stand beside each other: all of them decimals, or all with exponents.

    Example:
        >>> alike([5e-4, 0.001]), alike([5e-5, 0.001])
        (['0.0005', '0.001'], ['5e-5', '1e-3'])
    """
    row = [*values]
    sizes = [abs(value) for value in row if value and math.isfinite(value)]
    if not sizes or (min(sizes) >= 1e-4 and max(sizes) < 1e4):
        return [
            f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}" for value in row
        ]
    if min(sizes) >= 1e-3:
        return [number(value, digits) for value in row]
    return [_scientific(value, digits) if value else "0" for value in row]


def _scientific(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").removesuffix(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(things: int, noun: str) -> str:
    """``2 seeds``."""
    return f"{things} {noun}{'' if things == 1 else 's'}"


def spaced(name: str) -> str:
    """``learning rate``."""
    return name.replace("_", " ")
