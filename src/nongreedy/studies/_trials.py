"""Outer steps as Optuna trials, for its plots and its dashboard."""

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import torch
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
CONSTRAINT_KEY = f"constraints:{_CONSTRAINT}"  # as Optuna stores it
_STOOD, _ONLY_STEP = 0.0, 1.0
SUPERSEDED = 2.0  # what a search that went on for longer tells otherwise


Sweeps = Sequence[tuple[Request, Hypergradient]]  # what was asked, and the answer


@dataclass(frozen=True)
class Parameters:
    """A schedule's coefficients as parameters: all on the finest basis, so that trials compare."""

    hyperparameters: Mapping[str, Hyperparameter]
    steps: int

    def trial(
        self, schedule: Schedule, attributes: dict[str, Any], *, feasible: bool, **settings: Any
    ) -> FrozenTrial:
        """A trial of this schedule; parameters have the hyperparameter's name, with ``[i]`` where there
        are several, and its bounds."""
        values, distributions = {}, {}
        for name, hyper in self.hyperparameters.items():
            numbers = self._finest(hyper, schedule, name).tolist()
            if len(numbers) > _MANY:
                continue
            for index, value in enumerate(numbers):
                label = name if len(numbers) == 1 else f"{name}[{index}]"
                values[label], distributions[label] = value, _range(hyper, value)
        return optuna.create_trial(
            params=values,
            distributions=distributions,
            user_attrs={**attributes, "schedule": schedule.to_json()},
            constraints={_CONSTRAINT: _STOOD if feasible else _ONLY_STEP},
            **settings,
        )

    def _finest(self, hyper: Hyperparameter, schedule: Schedule, name: str) -> Tensor:
        curve, basis = schedule.curves[name], hyper.basis
        if isinstance(basis, Windows) and basis.auto:
            basis = Windows(_AUTO)  # nobody knows yet which windows are the finest
        if not isinstance(basis, TimeBasis):
            return curve.coefficients
        return curve.on(basis, self.steps).coefficients


def current(trials: Sequence[FrozenTrial]) -> dict[Any, FrozenTrial]:
    """Outer step, or ``"final"`` -> the trial that holds: what a longer search told otherwise does not."""
    return {
        trial.user_attrs["outer_step"]: trial
        for trial in trials
        if "outer_step" in trial.user_attrs
        and trial.constraints.get(_CONSTRAINT, _ONLY_STEP) < SUPERSEDED
    }


def step_trial(
    row: OuterStep,
    schedule: Schedule,
    losses: Mapping[int, float],
    runs: Sequence[str],
    sweeps: Sweeps,
    parameters: Parameters,
) -> FrozenTrial:
    """A finished outer step; one that diverged has failed.

    Args:
        runs: Keys of the plain runs that it asked for, diverged ones included: they are kept in
            records ``answer:KEY``.
    """
    finished = math.isfinite(row.validation_loss)
    attributes = {
        "outer_step": row.index,
        "row": row.to_json(),
        "hypergradients": [
            {"seed": request.seed}
            | {n: g.tolist() for n, g in swept.gradients.items() if len(g) <= _MANY}
            for request, swept in sweeps
        ],
        "noise": _noise([swept for _, swept in sweeps]),
        "runs": list(runs),
        "sweeps": [request.key for request, _ in sweeps],
    }
    trial = parameters.trial(
        schedule, attributes, feasible=False,
        state=TrialState.COMPLETE if finished else TrialState.FAIL,
        value=row.validation_loss if finished else None,
        intermediate_values=dict(losses),
    )  # fmt: skip
    trial.datetime_start = datetime.datetime.now() - datetime.timedelta(seconds=row.seconds)
    return trial


def final_trial(
    schedule: Schedule,
    loss: float,
    status: str,
    cost: float,
    gain: Mapping[str, Any] | None,
    parameters: Parameters,
) -> FrozenTrial:
    """The schedule that was returned, the cost of the whole search, and what it gained."""
    attributes = {"outer_step": "final", "status": status, "cost": cost, "gain": gain}
    return parameters.trial(schedule, attributes, feasible=True, value=loss)


def _range(hyper: Hyperparameter, value: float) -> BaseDistribution:
    low, high = (max(-_WIDE, min(_WIDE, bound)) for bound in hyper.bounds)
    logarithmic = hyper.transform == "log" and low > 0
    return FloatDistribution(min(low, value), max(high, value), log=logarithmic)


def _noise(sweeps: Sequence[Hypergradient]) -> dict[str, list[float]]:
    """Standard deviation of the hypergradient over seeds, by name; nothing from a single one."""
    if len(sweeps) < 2:
        return {}
    return {
        name: torch.stack([s.gradients[name].double() for s in sweeps]).std(dim=0).tolist()
        for name, first in sweeps[0].gradients.items()
        if len(first) <= _MANY
    }
