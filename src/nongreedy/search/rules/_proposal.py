"""What to run next: the model's minimum, and a step along what long hyperparameters agree on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from ...schedules import Schedule
from ._blocks import descent
from ._model_state import ModelState
from ._observation import Observation
from ._quadratic import Quadratic

_HELD = 0.5  # of what slopes promise along a step is lost to curvature


@final
@dataclass(frozen=True)
class Proposal:
    """A schedule that was not run yet.

    Attributes:
        change: Of the loss, expected.
        spread: Its standard deviation, as far as the model knows.
        distance: How far the farthest coefficient moves, in outer steps.
        moved: Whether modelled coefficients move, and long ones.
    """

    schedule: Schedule
    change: float
    spread: float
    distance: float
    moved: tuple[bool, bool]

    @property
    def words(self) -> str:
        """What moves it."""
        names = {(True, False): "model", (False, True): "gradients"}
        return names.get(self.moved, "model and gradients")


def proposed(state: ModelState) -> Proposal:
    """The best place within both trust regions, as far as is known."""
    space, place = state.space, state.space.vector(state.schedule)
    low, high = space.bounds
    step, change = _steps_of_blocks(state, place)
    chosen, model = space.modelled, _model(state)
    box = torch.full_like(place, state.reach[0])[chosen]
    nearest = torch.maximum(place[chosen] - box, low[chosen])
    best = model.best(nearest, torch.minimum(place[chosen] + box, high[chosen]))
    expected, spread = model.change(best)
    there = place + step
    there[chosen] = best
    there = torch.minimum(torch.maximum(there, low), high)
    moves = (there - place).abs()
    long = torch.ones_like(place, dtype=torch.bool)
    long[chosen] = False
    moved = bool((moves[chosen] > 0).any()), bool((moves[long] > 0).any())
    distance = float(moves.max()) if len(moves) else 0.0
    change = state.absolute(expected + _HELD * change)
    return Proposal(space.schedule(there), change, spread * state.unit, distance, moved)


def noise(state: ModelState) -> float:
    """Of the loss, the standard deviation of a difference that noise alone makes, by the model."""
    return math.sqrt(2 / len(state.seeds)) * _model(state).value_noise * state.unit


def _model(state: ModelState) -> Quadratic:
    """About where the search stands."""
    place, chosen = state.space.vector(state.schedule), state.space.modelled
    return Quadratic(_without_blocks(state, place), place[chosen], state.reach[0], state.prior)


def _steps_of_blocks(state: ModelState, place: Tensor) -> tuple[Tensor, float]:
    """Steps of long hyperparameters, and what their slopes promise."""
    step, change = torch.zeros_like(place), 0.0
    if not state.alone:
        for places in state.space.followed.values():
            found = descent(state.relative, places, place)
            step[places] = state.reach[1] * found.step
            change += state.reach[1] * found.change
    return step, change


def _without_blocks(state: ModelState, place: Tensor) -> list[Observation]:
    """Observations of the modelled coefficients: what the others did to a loss, as their slopes tell,
    is taken off."""
    chosen, followed = state.space.modelled, state.space.followed
    rows = list[Observation]()
    slopes = [o.slope for o in state.relative if o.slope is not None]
    mean = torch.stack(slopes).mean(0) if slopes else torch.zeros_like(place)
    for told in state.relative:
        loss = told.loss
        for places in followed.values():
            loss -= float(mean[places] @ (told.place - place)[places])
        slope = None if told.slope is None else told.slope[chosen]
        rows.append(replace(told, place=told.place[chosen], loss=loss, slope=slope))
    return rows
