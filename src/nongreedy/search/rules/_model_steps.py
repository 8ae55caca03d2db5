"""What the default rule's search does to where it stands: look, try, keep or shrink, step back."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

import torch

from ...engines import Rollout
from ...errors import DivergedError
from ...schedules import Schedule
from .. import Ask, Objective
from .._outer_step import mean_accuracy, mean_metrics
from .._result import Status
from ._model_state import ModelState
from ._observation import Observation
from ._proposal import Proposal, noise
from ._rule import StepOutcome, sign_text

_LEAST_GAIN, _SURE = 1e-3, 0.25  # of the loss, and of its standard deviation, to be worth a run
_NEAREST = 0.02  # outer steps that a proposal moves at least
_GOOD, _VERY_GOOD = 0.2, 0.6  # of the expected gain
_GROW, _SHRINK = 1.4, 0.5
_DOUBT = 0.8  # in place of that, after a loss that noise explains
_SHORTEST, _LONGEST = (0.1, 0.06), (1.0, 4.0)  # radii: modelled coefficients, long ones


def retreated(state: ModelState, objective: Objective) -> ModelState:
    """Back to the schedule before, of which it is known that it trains, and to its own last runs."""
    if len(state.contenders) == 1:
        return replace(state, status=Status.rejected)
    *contenders, _ = state.contenders
    known = objective.evaluated[contenders[-1].identity].losses
    seeds = tuple(known)[-len(state.seeds) :]
    return replace(
        state, schedule=contenders[-1], contenders=tuple(contenders), seeds=seeds,
        losses=tuple(known[seed] for seed in seeds),
    )  # fmt: skip


def tried(state: ModelState, move: Proposal, objective: Objective, notes: list[str]) -> ModelState:
    """Run a proposal on the seeds of the last runs: keep it, or shrink what did not hold, by less where
    noise explains what was found."""
    losses = list[float]()
    objective.ahead(Ask(move.schedule, seed) for seed in state.seeds)
    try:
        for seed in state.seeds:
            losses.append(objective.rollout(move.schedule, seed).outcome.loss)
    except DivergedError:
        losses += [math.inf] * (len(state.seeds) - len(losses))
    state = seen(state, move.schedule, state.seeds, losses)
    change = statistics.fmean(losses) - state.loss
    notes.append(f"by the {move.words} {move.change:+.3g} expected, {change:+.3g} found")
    gained = -change / max(-move.change, 1e-4 * state.scale)
    if gained > _GOOD:
        factor = _GROW if gained > _VERY_GOOD else 1.0
        return replace(
            state, schedule=move.schedule, losses=tuple(losses), alone=move.moved[1],
            contenders=(*state.contenders, move.schedule),
            reach=_scaled(state.reach, move.moved, factor),
        )  # fmt: skip
    both = all(move.moved)  # then the modelled ones have another try, alone
    explained = change - move.change < noise(state) + move.spread
    moved = (False, True) if both else move.moved
    shrunk = _scaled(state.reach, moved, _DOUBT if explained else _SHRINK)
    return replace(state, reach=shrunk, alone=both)


def _scaled(
    reach: tuple[float, float], moved: tuple[bool, bool], factor: float
) -> tuple[float, float]:
    """Radii of what moved, within limits."""
    rows = zip(reach, moved, _SHORTEST, _LONGEST, strict=True)
    a, b = (min(max(r * factor, least), most) if did else r for r, did, least, most in rows)
    return a, b


def worthwhile(move: Proposal, state: ModelState) -> bool:
    """Whether it may gain more than noise does, and was not run on these seeds before."""
    least = max(_LEAST_GAIN * state.scale, _SURE * move.spread)
    place = state.space.vector(move.schedule)
    known = [o for o in state.observations if o.seed in state.seeds]
    again = any(float((o.place - place).abs().max()) < _NEAREST for o in known)
    return -move.change >= least and move.distance >= _NEAREST and not again


def seen(
    state: ModelState, schedule: Schedule, seeds: Sequence[int], losses: Sequence[float]
) -> ModelState:
    place = state.space.vector(schedule)
    rows = [Observation(place, s, loss) for s, loss in zip(seeds, losses, strict=True)]
    return replace(state, observations=(*state.observations, *rows))


def differentiated(
    state: ModelState, objective: Objective, rollouts: Sequence[Rollout], notes: list[str]
) -> tuple[ModelState, dict[str, str]]:
    """With the slopes of the schedule's last runs, and the signs of their mean; without those whose
    sweep diverged, which is noted."""
    state, here, slopes = replace(state, looked=True), state.space.vector(state.schedule), {}
    for rollout in rollouts:
        try:
            gradients = objective.differentiate(rollout).gradients
        except DivergedError as error:
            notes.append(f"no derivative ({error.quantity}, step {error.step})")
        else:
            slopes[rollout.run.seed] = state.space.gradient(state.schedule, gradients)
    told = [
        replace(o, slope=slopes.get(o.seed))
        if torch.equal(o.place, here) and o.seed in slopes
        else o
        for o in state.observations
    ]
    if not slopes:
        return state, {}
    mean = torch.stack(list(slopes.values())).mean(0)
    known = {n: part for n, part in state.space.slices.items() if not mean[part].isnan().any()}
    signs = {name: sign_text(mean[part]) for name, part in known.items()}
    return replace(state, observations=tuple(told)), signs


def middle(state: ModelState) -> list[Schedule]:
    """The mean of the later half of what was kept: each was kept for a loss on one seed, whose luck
    means have less of. Nothing where these are fewer than two, or where batches or epochs are learned."""
    kept = state.contenders[1:]
    late = kept[len(kept) // 2 :]
    if len(late) < 2 or any(hyper.free for hyper in state.hyperparameters.values()):
        return []
    places = torch.stack([state.space.vector(schedule) for schedule in late])
    return [state.space.schedule(places.mean(0))]


def outcome(
    state: ModelState, objective: Objective, signs: dict[str, str], accepted: bool, note: str
) -> StepOutcome:
    ran = objective.evaluated[state.schedule.identity]
    last = [ran.accuracies[seed] for seed in state.seeds if seed in ran.losses]
    measured = [ran.measured[seed] for seed in state.seeds if seed in ran.losses]
    return StepOutcome(
        state.schedule, state.loss, mean_accuracy(last), signs, accepted, note,
        mean_metrics(measured),
    )  # fmt: skip
