"""What a search returns: the schedule, its history, why it ended, what it cost."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..optimizers import Optimizer
from ..schedules import Schedule
from ..task import Task
from ._gain import Gain
from ._outer_step import OuterStep


class Status(enum.Enum):
    """Why the outer loop ended; the value is a help text."""

    completed = "All outer steps were taken. More of them may improve the schedule further."
    converged = "Every hyperparameter settled: further outer steps would hardly move it."
    stalled = (
        "No proposal improved on the best schedule any more. It may be the optimum for this noise; "
        "more seeds or finer windows may still improve it."
    )
    rejected = (
        "Too many proposals in a row diverged, and the best schedule before them is returned. Lower "
        "the upper bound of the learning rate, or start lower."
    )
    budget_spent = "The budget, or the time, is spent. Raise it, or start again from this schedule."
    interrupted = "The search was interrupted; this is the best schedule that it had evaluated."


@dataclass(frozen=True)
class Result:
    """What :func:`nongreedy.tune` returns.

    Attributes:
        schedule: The best schedule among the evaluated ones, judged on validation data only.
        validation_loss: Its mean validation loss over the seeds it was judged on.
        validation_accuracy: Likewise, or None.
        history: One row per outer step.
        status: Why the search ended.
        cost: Plain training runs' worth of gradients that were spent.
        settings: What a repetition needs.
        runs: Plain runs that were begun, hypergradients not counted.
        unfinished: Those of them that diverged.
        parameters: Name -> parameter of the network that an online run has trained; empty for
            searches, which end with a schedule.
        validation_metrics: The task's own, by name, over the same seeds as the loss.
        gain: Over the schedule that the search started from, on common fresh seeds; None of rules that
            keep no fallback.
        unmoved: Name -> why it has its first value, of learned hyperparameters that have.
        task: What was trained, with what was added to it.
        optimizer: What the schedule is for: the given one, with an average where one was chosen.
    """

    schedule: Schedule
    validation_loss: float
    validation_accuracy: float | None
    history: list[OuterStep]
    status: Status
    cost: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 0
    unfinished: int = 0
    parameters: Mapping[str, Tensor] = field(default_factory=dict, repr=False, compare=False)
    validation_metrics: Mapping[str, float] = field(default_factory=dict)
    gain: Gain | None = None
    unmoved: Mapping[str, str] = field(default_factory=dict)
    task: Task | None = field(default=None, repr=False, compare=False)
    optimizer: Optimizer | None = field(default=None, repr=False, compare=False)
