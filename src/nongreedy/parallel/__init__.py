"""One search by many processes, on one machine or on several, under ``torchrun``."""

from ..schedules._export import export
from ._ranks import RankError, Ranks, ranks

__all__ = ["RankError", "Ranks", "ranks"]

export(globals())
