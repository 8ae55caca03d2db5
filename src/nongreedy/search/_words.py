"""Numbers, names and times in words."""

from ..schedules._words import count, duration, number, spaced

__all__ = ["count", "duration", "number", "spaced"]
