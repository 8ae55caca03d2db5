"""Outer steps as Optuna trials, for its plots and its dashboard."""

from __future__ import annotations

import datetime
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState
from torch import Tensor

from ..engines import Hypergradient
from ..schedules import Hyperparameter, Schedule, TimeBasis, Windows
from ..search import OuterStep, Request

_MANY = 64  # more coefficients than this are no parameters of a trial; the attributes have them all
_AUTO = 8  # parameters in place of a number of windows that is being found
_WIDE = 1e12  # in place of a bound that is infinite
# Losses of outer steps are of seeds of their own and compare badly, and the least of them is lucky.
# The winner of the final comparison is the one feasible trial, and so Optuna's best.
_CONSTRAINT = "stood in the final comparison"


@dataclass
class Seen:
    """What an outer step saw on its way.

    Attributes:
        runs: Keys of the plain runs that it asked for, diverged ones included: they are kept in
            records ``answer:KEY``.
        sweeps: Its hypergradients, each with what was asked.
    """

    runs: list[str] = field(default_factory=list)
    sweeps: list[tuple[Request, Hypergradient]] = field(default_factory=list)


@dataclass(frozen=True)
class Parameters:
    """A schedule's coefficients as parameters: all on the finest basis, so that trials compare."""

    hyperparameters: Mapping[str, Hyperparameter]
    steps: int

    def of(self, schedule: Schedule) -> dict[str, float]:
        """Name, with ``[i]`` where there are several -> value."""
        found = {}
        for name, hyper in self.hyperparameters.items():
            values = self._finest(hyper, schedule, name)
            if len(values) <= _MANY:
                found |= dict(zip(_labels(name, len(values)), values.tolist(), strict=True))
        return found

    def distributions(self, values: Mapping[str, float]) -> dict[str, BaseDistribution]:
        """The bounds."""
        return {
            label: _range(self.hyperparameters[label.partition("[")[0]], value)
            for label, value in values.items()
        }

    def _finest(self, hyper: Hyperparameter, schedule: Schedule, name: str) -> Tensor:
        curve, basis = schedule.curves[name], hyper.basis
        if isinstance(basis, Windows) and basis.auto:
            basis = Windows(_AUTO)  # nobody knows yet which windows are the finest
        if not isinstance(basis, TimeBasis):
            return curve.coefficients
        return curve.on(basis, self.steps).coefficients


def step_trial(
    row: OuterStep,
    schedule: Schedule,
    losses: Mapping[int, float],
    seen: Seen,
    parameters: Parameters,
) -> FrozenTrial:
    """A finished outer step; one that diverged has failed."""
    values = parameters.of(schedule)
    finished = math.isfinite(row.validation_loss)
    trial = _trial(
        values,
        parameters,
        {
            "outer_step": row.index,
            "row": row.to_json(),
            "schedule": schedule.to_json(),
            "hypergradients": _gradients(seen),
            "noise": _noise([found for _, found in seen.sweeps]),
            "runs": seen.runs,
            "sweeps": [request.key for request, _ in seen.sweeps],
        },
        state=TrialState.COMPLETE if finished else TrialState.FAIL,
        value=row.validation_loss if finished else None,
        intermediate_values=dict(losses),
        constraints={_CONSTRAINT: 1.0},
    )
    trial.datetime_start = datetime.datetime.now() - datetime.timedelta(seconds=row.seconds)
    return trial


def final_trial(
    schedule: Schedule, loss: float, status: str, cost: float, parameters: Parameters
) -> FrozenTrial:
    """The schedule that was returned, and the cost of the whole search."""
    attributes = {
        "outer_step": "final",
        "status": status,
        "schedule": schedule.to_json(),
        "cost": cost,
    }
    return _trial(
        parameters.of(schedule), parameters, attributes, value=loss, constraints={_CONSTRAINT: 0.0}
    )


def _trial(
    values: dict[str, float], parameters: Parameters, attributes: dict[str, Any], **given: Any
) -> FrozenTrial:
    return optuna.create_trial(
        params=values,
        distributions=parameters.distributions(values),
        user_attrs=attributes,
        **given,
    )


def _labels(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}[{index}]" for index in range(count)]


def _range(hyper: Hyperparameter, value: float) -> BaseDistribution:
    low, high = (max(-_WIDE, min(_WIDE, bound)) for bound in hyper.bounds)
    logarithmic = hyper.transform == "log" and low > 0
    return FloatDistribution(min(low, value), max(high, value), log=logarithmic)


def _gradients(seen: Seen) -> list[dict[str, Any]]:
    return [
        {"seed": asked.seed}
        | {n: g.tolist() for n, g in found.gradients.items() if len(g) <= _MANY}
        for asked, found in seen.sweeps
    ]


def _noise(sweeps: Sequence[Hypergradient]) -> dict[str, list[float]]:
    """Standard deviation of the hypergradient over seeds, by name; nothing from a single one."""
    if len(sweeps) < 2:
        return {}
    return {
        name: [statistics.stdev(values) for values in zip(*columns, strict=True)]
        for name in sweeps[0].gradients
        if len(sweeps[0].gradients[name]) <= _MANY
        for columns in [[found.gradients[name].tolist() for found in sweeps]]
    }
