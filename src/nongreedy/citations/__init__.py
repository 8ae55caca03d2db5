"""BibTeX of the methods that a search used."""

from ..schedules._export import export
from ._cite import cite

__all__ = ["cite"]

export(globals())
