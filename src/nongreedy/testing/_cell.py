"""A cell of the table, and what was found in it."""

import enum
from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One question: is this engine right about this hyperparameter of such a run?"""

    engine: str
    optimizer: str
    hyperparameter: str
    model: str

    def __str__(self) -> str:
        return f"{self.engine}, {self.optimizer}, {self.hyperparameter}, {self.model}"


class Grade(enum.Enum):
    """The answer; the value is a help text."""

    exact = "Equal to finite differences, to the tolerance."
    estimated = "Not exact and not meant to be: right within its own standard error."
    skipped = "Not checked, for a reason that is given."
    wrong = "Differs from finite differences, although the engine calls it exact."


@dataclass(frozen=True)
class Finding:
    """A cell that was looked into.

    Attributes:
        error: Relative to the largest slope; for an estimate in standard errors; None if skipped.
        reason: Why it was skipped, or what is wrong.
    """

    cell: Cell
    grade: Grade
    error: float | None = None
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.grade is not Grade.wrong

    def __str__(self) -> str:
        shown = "" if self.error is None else f", error {self.error:.1e}"
        return f"{self.cell}: {self.grade.name}{shown}. {self.reason}".rstrip(". ") + "."
