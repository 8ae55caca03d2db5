"""What every method of a comparison is given: the same task, without its test data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from ..engines import Engine
from ..optimizers import SGD, AdamW, Optimizer
from ..schedules import Basis, Curve, Hyperparameter, Schedule, TimeBasis
from ..schedules._hyperparameter import learned
from ..task import Task
from ..task._data_plan import checksum
from ..task._module import build

# What people set by hand beside the peak of the learning rate.
PRACTICE: dict[type, dict[str, float]] = {
    SGD: {"momentum": 0.9, "weight_decay": 5e-4},
    AdamW: {"weight_decay": 0.01},
}


@final
@dataclass(frozen=True)
class Problem:
    """One training run to be tuned.

    Args:
        task: Without test data: a search cannot look at what it does not have.
        optimizer: Which hyperparameters are learned (bases) and which are fixed (numbers).
        steps: Length of a whole run.
        engine: Of hypergradients: an engine or its name.
        dtype: Of the runs of a search.
    """

    task: Task
    optimizer: Optimizer
    steps: int
    engine: str | Engine = "auto"
    dtype: torch.dtype = torch.float32

    @classmethod
    def of(cls, task: Task, *rest: Any) -> Problem:
        """The problem of a task whose test data stay outside."""
        without = copy.copy(task)
        without.test = None
        return cls(without, *rest)

    @property
    def hyperparameters(self) -> dict[str, Hyperparameter]:
        """Those of the optimizer and of the task, settled."""
        return {
            **self.optimizer.hyperparameters(self.steps),
            **self.task.hyperparameters(self.steps),
        }

    @property
    def learned(self) -> dict[str, Hyperparameter]:
        """Those that are learned."""
        return learned(self.hyperparameters)

    def schedule(self, changed: Mapping[str, Tensor]) -> Schedule:
        """The initial schedule with other coefficients for some names."""
        return Schedule.initial(self.hyperparameters).with_coefficients(changed)

    def by_hand(self, learning_rate: Curve) -> Schedule:
        """A learning rate, the rest as people set it (:data:`PRACTICE`), else as it starts here."""
        curves = dict(Schedule.initial(self.hyperparameters).curves)
        for name, value in PRACTICE.get(type(self.optimizer), {}).items():
            curves[name] = Schedule.of(**{name: value}).curves[name]
        return Schedule({**curves, "learning_rate": learning_rate})

    def starting(self, **fields: Any) -> Optimizer:
        """The optimizer with other fields for all of its bases: ``{"initial": {name: value}}``."""
        changed = {
            name: replace(given, **{field: value[name] for field, value in fields.items()})
            for name, given in self.optimizer.given().items()
            if isinstance(given, Basis)
        }
        return replace(self.optimizer, **changed)

    def grouped(self) -> str | None:
        """Why what knows one learning rate cannot take part, or None."""
        names = self.optimizer.learnable
        if "learning_rate" not in names:
            return f"{type(self.optimizer).__name__} has no learning rate"
        if any("[" in name for name in names):
            return "it knows one setting for all parameters, not one per group"
        return None

    def over_time(self) -> str | None:
        """Why what moves numbers cannot take part, or None."""
        names = [n for n, h in self.learned.items() if not isinstance(h.basis, TimeBasis)]
        return f"it moves numbers, but {names[0]} is a tensor" if names else None

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for two pieces of a comparison to belong together."""
        weights = [p.detach() for p in build(self.task.model, 0).parameters()]
        first = self.task.plan.batch(0, 0, torch.device("cpu"), torch.float32)
        judged = self.task.validation.fetch(slice(0, 500))
        return {
            "steps": self.steps,
            "optimizer": repr(self.optimizer),
            "learned": {n: len(h.initial) for n, h in self.learned.items()},
            "engine": str(self.engine),
            "dtype": str(self.dtype),
            "batch_size": self.task.batch_size,
            "training_examples": self.task.train.count,
            "validation_examples": self.task.validation.count,
            "data": checksum((first, judged)),
            "model": checksum(weights),
        }
