"""Numbers, names and times in words."""

import math


def number(value: float, digits: int = 2) -> str:
    """Short, and exact enough to type again: 0.067, 5e-4, 0."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"
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
