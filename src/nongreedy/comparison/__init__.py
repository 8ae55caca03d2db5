"""The fair comparison: many methods, one task, equal budgets, fresh trainings."""

from ..schedules._export import export
from ._compare import compare
from ._comparison import Comparison
from ._meter import Meter
from ._method import Method
from ._methods import METHODS
from ._piece import MEASURES, Piece
from ._table import Row

__all__ = ["MEASURES", "METHODS", "Comparison", "Meter", "Method", "Piece", "Row", "compare"]

export(globals())
