"""Statistics of hypergradients: noise, signal, sharing, splitting, growth. Nothing is run here."""

from ..schedules._export import export
from ._growth import Growth
from ._sharing import Sharing
from ._signal import Signal

__all__ = [
    "Growth",
    "Sharing",
    "Signal",
]

export(globals())
