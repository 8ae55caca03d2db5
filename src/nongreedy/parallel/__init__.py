"""One search by many processes, on one machine or on several, under ``torchrun``."""

from ..schedules._export import export
from ._columns import Columns
from ._ranks import RankError, Ranks, ranks
from ._sharded import sharded

__all__ = ["Columns", "RankError", "Ranks", "ranks", "sharded"]

export(globals())
