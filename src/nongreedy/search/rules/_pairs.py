"""Hyperparameters that no gradient reaches: plain runs to both sides, on common random numbers."""

from __future__ import annotations

import statistics
from dataclasses import replace

import torch

from ...engines import Problem, Rollout
from ...errors import DivergedError
from ...optimizers import SGD
from ...schedules import Hyperparameter, Schedule
from ...task._choices import BATCH_SIZE
from .. import Ask, Objective
from ._model_state import ModelState
from ._model_steps import seen
from ._practice import innermost

_RATE = "learning_rate"
_MOVED = 0.5  # outer steps from where the last pairs were run, from which others are
# How learning rates go with the batch: linearly for SGD (arXiv:1706.02677), as its root where steps are
# normalized (arXiv:2205.10287).
_LINEAR, _ROOT = 1.0, 0.5


def paired(
    state: ModelState,
    objective: Objective,
    notes: list[str],
    spare: float,
    kept: list[Rollout],
) -> ModelState:
    """Each of them lower and higher by an outer step, on the seeds of the last runs, one after the other;
    on in a direction that is better. What is better is kept, with its states.

    Where it stands among what was run before, nothing is run. At least `spare` plain runs are left.

    Args:
        kept: Runs of the schedule, whose place what is better takes at once, so that the states of two
            schedules are held at most: half of the free memory is what the planner gives to one.
    """
    for name, hyper in state.hyperparameters.items():
        if not hyper.free or _known(state, name):
            continue
        begun = state.schedule
        for side in (1, -1):
            while (there := _beside(state, objective, name, hyper, side)) is not None:
                price = len(state.seeds) * objective.price(there)
                if not objective.budget.affords(price + spare):
                    notes.append(f"no runs beside {name}: too dear")
                    break
                state, better = _tried(state, objective, there)
                if not better:
                    break
                kept[:] = better
            if state.schedule != begun:
                break  # the other side is where it came from
        if state.schedule != begun:
            notes.append(f"{name} {float(begun[name]):g} to {float(state.schedule[name]):g}")
        place = state.space.vector(state.schedule)[state.space.slices[name]]
        state = replace(state, paired={**state.paired, name: float(place)})
    return state


def _known(state: ModelState, name: str) -> bool:
    """Whether it stands about where its last pair was run."""
    place = float(state.space.vector(state.schedule)[state.space.slices[name]])
    return name in state.paired and abs(state.paired[name] - place) < _MOVED


def _beside(
    state: ModelState, objective: Objective, name: str, hyper: Hyperparameter, side: int
) -> Schedule | None:
    """The schedule with another value, and learning rates that go with it; None beyond a bound."""
    here = state.schedule
    value = hyper.to_value(hyper.to_coordinate(here[name]) + side * hyper.outer_step)
    if hyper.basis.integer and torch.equal(value, here[name]):  # type: ignore[attr-defined]
        value = hyper.clip(here[name] + side)
    if torch.equal(value, here[name]):
        return None
    changed = {name: value}
    if name == BATCH_SIZE:
        factor = float(value / here[name]) ** _exponent(objective.problem_of(here))
        for rate, row in state.hyperparameters.items():
            if rate.partition("[")[0] == _RATE:
                changed[rate] = row.clip(factor * here[rate])
    return here.with_coefficients(changed)


def _exponent(problem: Problem) -> float:
    return _LINEAR if isinstance(innermost(problem.optimizer), SGD) else _ROOT


def _tried(
    state: ModelState, objective: Objective, schedule: Schedule
) -> tuple[ModelState, list[Rollout]]:
    """Run on the seeds of the last runs; kept where it is better, and then with its states."""
    objective.ahead(Ask(schedule, seed) for seed in state.seeds)
    losses, rollouts = list[float](), list[Rollout]()
    try:
        for seed in state.seeds:
            rollouts.append(objective.rollout(schedule, seed, keep=True))
            losses.append(rollouts[-1].outcome.loss)
    except DivergedError:
        losses += [float("inf")] * (len(state.seeds) - len(losses))
    state = seen(state, schedule, state.seeds, losses)
    if not statistics.fmean(losses) < state.loss:
        return state, []
    contenders = (*state.contenders, schedule)
    state = replace(state, schedule=schedule, losses=tuple(losses), contenders=contenders)
    return state, rollouts
