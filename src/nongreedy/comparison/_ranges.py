"""Where black-box methods search: a range for every coefficient of the learned schedules."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch

from ..engines import Problem
from ..optimizers import SGD, Grouped, Optimizer
from ..schedules import Basis, Hyperparameter, Schedule

if TYPE_CHECKING:
    from optuna.trial import Trial


@final
@dataclass(frozen=True)
class Range:
    """The values of one coefficient.

    Args:
        low, high: Least and greatest value.
        scale: ``"log"``: every decade is as likely as another; ``"log1m"``: every decade of one minus
            the value; None: every value.
    """

    low: float
    high: float
    scale: str | None = None

    def draw(self, trial: Trial, name: str) -> float:
        """One value, suggested by Optuna."""
        if self.scale == "log1m":
            return 1 - trial.suggest_float(f"1 - {name}", 1 - self.high, 1 - self.low, log=True)
        return trial.suggest_float(name, self.low, self.high, log=self.scale == "log")

    def spelled(self, name: str, value: float) -> tuple[str, float]:
        """What Optuna calls a value, and which number it is there: to be tried first."""
        return (f"1 - {name}", 1 - value) if self.scale == "log1m" else (name, value)

    def around(self, value: float, decades: float = 1.0) -> tuple[float, Range]:
        """The value, or what is nearest to it here, and the part of this range within half of these
        decades on both sides of it; the same range where decades mean nothing."""
        factor, value = 10 ** (decades / 2), min(max(value, self.low), self.high)
        if self.scale == "log":
            low, high = value / factor, value * factor
        elif self.scale == "log1m":
            low, high = 1 - (1 - value) * factor, 1 - (1 - value) / factor
        else:
            return value, self
        return value, Range(max(low, self.low), min(high, self.high), self.scale)


# Ranges that a practitioner would give; bounds= of a basis goes before them.
POSITIVE = {
    "learning_rate": Range(1e-5, 0.1, "log"),
    "momentum": Range(0.0, 0.99, "log1m"),
    "beta1": Range(0.0, 0.99, "log1m"),
    "beta2": Range(0.9, 0.9999, "log1m"),
    "weight_decay": Range(1e-6, 1e-2, "log"),
}
SGD_RATES = Range(1e-4, 3.0, "log")  # networks with BatchNorm take more than 1
_SGD_PEAKS = Range(1e-3, 3.0, "log")  # below, only the end of a schedule is of any use

# The paper's, as far as they can be told (its text does not say): negative values included.
PAPER = {
    "learning_rate": Range(-1.0, 1.0),
    "momentum": Range(-1.5, 1.5),
    "weight_decay": Range(-4e-3, 4e-3),
}


@dataclass(frozen=True)
class Ranges:
    """Positive ranges, for any optimizer and task.

    Args:
        most: Coefficients that a black-box method is asked for.
    """

    most: int = 100

    def __call__(self, problem: Problem) -> dict[str, Range]:
        """Name of each learned hyperparameter -> the range of its coefficients."""
        return {name: self._range(problem, hyper) for name, hyper in problem.learned.items()}

    def refused(self, problem: Problem) -> str | None:
        """Why there are no ranges for this problem, or None."""
        count = sum(len(hyper.initial) for hyper in problem.learned.values())
        if count > self.most:
            return f"{count} coefficients are too many for it; {self.most} are the most"
        for name, limits in self(problem).items():
            if not (math.isfinite(limits.low) and math.isfinite(limits.high)):
                return f"{name} has no bounds, which it would search between: pass bounds="
        return None

    def _range(self, problem: Problem, hyper: Hyperparameter) -> Range:
        declared = {**problem.optimizer.given(), **problem.task.learnable}[hyper.name]
        setting = hyper.name.partition("[")[0]
        bounded = isinstance(declared, Basis) and declared.bounds is not None
        usual = _usual(problem.optimizer)
        if hyper.owner == "optimizer" and setting in usual and not bounded:
            return usual[setting]
        scale = hyper.transform if hyper.transform in ("log", "log1m") else None
        return Range(*hyper.bounds, scale)


def _usual(optimizer: Optimizer) -> dict[str, Range]:
    base = optimizer.base if isinstance(optimizer, Grouped) else optimizer
    return {**POSITIVE, "learning_rate": SGD_RATES} if isinstance(base, SGD) else POSITIVE


def peaks(problem: Problem) -> Range:
    """Where the peak of a learning rate is looked for, also where the rate is fixed."""
    ranges = {**_usual(problem.optimizer), **Ranges()(problem)}
    limits = ranges["learning_rate"]
    return _SGD_PEAKS if limits == SGD_RATES else limits


@final
@dataclass(frozen=True)
class PaperRanges(Ranges):
    """The paper's ranges, for SGD."""

    def __call__(self, problem: Problem) -> dict[str, Range]:
        return {name: PAPER[name] for name in problem.learned}

    def refused(self, problem: Problem) -> str | None:
        strange = [name for name in problem.learned if name not in PAPER]
        if strange or not isinstance(problem.optimizer, SGD):
            what = strange[0] if strange else type(problem.optimizer).__name__
            return f"the paper gives ranges for SGD's {', '.join(PAPER)}, not for {what}"
        return None


def each(problem: Problem, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Label of each coefficient, ``learning_rate[0]``, -> its range, that of its hyperparameter."""
    labelled = labels(problem).items()
    return {label: ranges[name] for name, those in labelled for label in those}


def labels(problem: Problem) -> dict[str, list[str]]:
    """Name of each learned hyperparameter -> what Optuna calls its coefficients."""
    learned = problem.learned.items()
    return {name: [f"{name}[{k}]" for k in range(len(h.initial))] for name, h in learned}


def draw(trial: Trial, problem: Problem, ranges: Mapping[str, Range]) -> Schedule:
    """A schedule of suggested coefficients, each in the range of its label."""
    values = {}
    for name, those in labels(problem).items():
        numbers = [ranges[label].draw(trial, label) for label in those]
        values[name] = torch.tensor(numbers, dtype=torch.float64)
    return problem.initial.with_coefficients(values)
