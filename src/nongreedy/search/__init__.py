"""A search: what an outer rule may ask for, who remembers the answers, and what comes out."""

from ..schedules._export import export
from ._budget import Budget, BudgetSpentError
from ._callback import Callback, Callbacks
from ._evaluated import Ask, Evaluated
from ._gain import Gain
from ._knockout import knockout
from ._memory import Answer, Job, Memory, Ran, Request
from ._objective import Objective
from ._outer_step import OuterStep, StepOutcome
from ._outlook import Outlook
from ._result import Result, Status

__all__ = [
    "Answer", "Ask", "Budget", "BudgetSpentError", "Callback", "Callbacks", "Evaluated", "Gain",
    "Job", "Memory", "Objective", "OuterStep", "Outlook", "Ran", "Request", "Result", "Status", "StepOutcome",
    "knockout",
]  # fmt: skip

export(globals())
