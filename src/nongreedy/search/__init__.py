"""A search: what an outer rule may ask for, who remembers the answers, and what comes out."""

from ..schedules._export import export
from ._callback import Callback, Callbacks
from ._memory import Answer, Memory, Ran, Request
from ._objective import BudgetSpentError, Evaluated, Objective
from ._result import OuterStep, Result, Status

__all__ = [
    "Answer",
    "BudgetSpentError",
    "Callback",
    "Callbacks",
    "Evaluated",
    "Memory",
    "Objective",
    "OuterStep",
    "Ran",
    "Request",
    "Result",
    "Status",
]

export(globals())
