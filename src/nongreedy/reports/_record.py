"""What a report is made of: every outer step with its schedule, training curve and hypergradients."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..engines import Hypergradient
from ..schedules import Schedule, TimeBasis
from ..search import Gain, OuterStep, Status
from ._ranking import Place


@dataclass(frozen=True)
class Step:
    """One outer step.

    Attributes:
        curve: Training step -> training loss, of a run of the step's schedule.
        seeds, hypergradients: One for each of the seeds. Of a damaged one only the gradients are known,
            from the trial, and its value is NaN.
        run_cost: What its own plain runs cost.
        first_loss: Of its first plain run that finished, if that is known.
    """

    row: OuterStep
    schedule: Schedule
    curve: Mapping[int, float]
    seeds: list[int]
    hypergradients: list[Hypergradient]
    run_cost: float
    first_loss: float | None


@dataclass(frozen=True)
class Record:
    """Everything that a report is made of.

    Attributes:
        steps: Outer steps in their order, at least one.
        schedule: What was returned; of an unfinished study the last accepted schedule.
        loss: Its validation loss.
        status: Why the search ended; None while it has not.
        last_cost: Cost since the last outer step: of a step that was not finished, and of the final
            comparison. None where that is not known.
        judged: A measure, and schedules in fresh trainings by it, best first; of studies that
            `nongreedy tune` brought to its end.
        resume: What to type to go on; None where `nongreedy tune` did not begin the study.
        lost: Number of answers that could not be read.
        gain: Over the start of the search; None where the rule keeps no fallback, or of earlier releases.
        begun: The day of its first outer step.
        trained: What was trained, as the command line has it: ``name``, and ``told`` of its data.
    """

    name: str
    place: str
    settings: Mapping[str, Any]
    command: Mapping[str, Any]
    engine: Mapping[str, Any]
    steps: list[Step]
    schedule: Schedule
    loss: float
    status: Status | None
    last_cost: float | None
    resume: str | None
    judged: tuple[str, list[Place]] | None = None
    lost: int = 0
    gain: Gain | None = None
    begun: str = ""
    trained: Mapping[str, Any] = field(default_factory=dict)

    @property
    def horizon(self) -> int:
        return int(self.settings["steps"])

    @property
    def task(self) -> str:
        """What was trained, in words: as the command line named it, or as the task calls itself."""
        if name := self.trained.get("name"):
            return str(name)
        options = self.command  # of an earlier release
        if target := options.get("target"):
            return str(target)
        if options.get("data") or options.get("model"):
            return f"{options.get('data') or 'digits'}, {options.get('model') or 'convnet'}"
        return str(self.engine.get("task") or "a task")

    @property
    def what(self) -> str:
        """What its schedule is."""
        return "returned" if self.status else "current"

    @property
    def rows(self) -> list[OuterStep]:
        return [step.row for step in self.steps]

    @property
    def learned(self) -> list[str]:
        """Names of what was tuned."""
        return list(self.steps[0].row.values)

    @property
    def curves(self) -> list[str]:
        """Those of them that may change over a run."""
        bases = {name: self.schedule.curves[name].basis for name in self.learned}
        return [name for name, basis in bases.items() if isinstance(basis, TimeBasis)]

    @property
    def start(self) -> tuple[float, bool]:
        """The first validation loss that is known, and whether it is that of the first schedule."""
        first = self.steps[0]
        losses = [h.value for h in first.hypergradients if math.isfinite(h.value)]
        if losses:
            return statistics.fmean(losses), True
        if first.first_loss is not None:
            return first.first_loss, True
        return first.row.validation_loss, False

    @property
    def cost(self) -> float:
        """Plain training runs' worth of gradients, as far as it is known."""
        return self.rows[-1].cost + (self.last_cost or 0.0)
