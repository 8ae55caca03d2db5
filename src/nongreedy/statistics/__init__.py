"""Statistics of hypergradients: noise, signal, sharing, splitting, growth. Nothing is run here."""

from ..schedules._export import export
from ._growth import Growth, growth_of
from ._noise import block_variance, error_of_mean, on_basis
from ._sharing import Sharing, measured_error
from ._signal import CLEAR, Signal, signal_of
from ._splitting import LEVEL, cuts

__all__ = [
    "CLEAR", "LEVEL", "Growth", "Sharing", "Signal", "block_variance", "cuts", "error_of_mean",
    "growth_of", "measured_error", "on_basis", "signal_of",
]  # fmt: skip

export(globals())
