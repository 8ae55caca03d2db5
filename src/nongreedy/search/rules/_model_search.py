"""The default outer rule: from practice, by a model of all values and hypergradients."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import torch

from ...engines import Engine, Problem, Rollout
from ...errors import DivergedError, check_whole
from ...schedules import Hyperparameter, Schedule
from ...schedules._hyperparameter import learned
from .. import Objective
from .._result import Status, mean_accuracy, mean_metrics
from .._words import count
from ._agreement import AgreementSearch
from ._averaged import averaged
from ._model_state import ModelState
from ._proposal import Proposal, proposed
from ._quadratic import Observation
from ._rule import OuterRule, StepOutcome, sign_text
from ._rungs import automatic
from ._start import best_way
from ._unmoved import unmoved

_LEAST_GAIN, _SURE = 1e-3, 0.25  # of the loss, and of its standard deviation, to be worth a run
_TRIES = 2  # plain runs that a hypergradient must leave, or it is not worth its price
_NEAREST = 0.02  # outer steps that a proposal moves at least
_GOOD, _VERY_GOOD = 0.2, 0.6  # of the expected gain
_GROW, _SHRINK = 1.4, 0.5
_SHORTEST, _LONGEST = (0.1, 0.06), (1.0, 4.0)  # radii: modelled coefficients, long ones


@final
@dataclass(frozen=True)
class ModelSearch(OuterRule[ModelState]):
    r"""From what everybody knows, by a quadratic model of everything that was seen.

    First the scale: the schedule at hand, by default one that falls to nothing from a usual peak, is
    run with higher and lower learning rates on one seed, and likewise with averaged weights
    (:class:`ScheduleFreeAverage`) where the optimizer has no average yet. The best is the
    **fallback**: it is returned unless another schedule beats it on common fresh seeds.

    Then each outer step draws a fresh seed, runs and differentiates the schedule on it, and proposes

    1. for schedules and other short hyperparameters the minimum of a :class:`Quadratic` of all values,
       with an offset per seed, and all hypergradients, with their noise, in a trust region;
    2. for long ones, such as weights of examples, a step along the mean gradient as far as seeds agree
       (:func:`descent`), whose length plain runs decide.

    A proposal costs a plain run on the same seed. Where it does not lower the loss, the trust region
    shrinks; where both kinds moved, the modelled ones are tried alone. The search ends early, and
    leaves the rest of its budget, where nothing is expected to be gained.

    Args:
        seeds: Runs per outer step.
        averaging: Whether averaged weights are tried.
        proposals: Most plain runs per outer step.
        patience: Outer steps without improvement before stopping.
        finalists: Best schedules that meet again on common fresh seeds, the fallback among them.
        finalist_seeds: Seeds per round.

    Raises:
        ValueError: What is no whole number of at least 1, or 2 finalists.
        DivergedError: If runs diverge however much the learning rate is lowered.

    Source: the search is this library's; hypergradients as in arXiv:2007.07869
    (:cite:`micaelli2021gradient`).

    Cannot: find what is worth less than the noise between seeds; split ``Windows("auto")``, for which
    :class:`AgreementSearch` is taken instead.

    Example:
        >>> ModelSearch(averaging=False).patience
        2
    """

    seeds: int | None = None
    averaging: bool = True
    proposals: int = 3
    patience: int = 2
    finalists: int = 4
    finalist_seeds: int = 2
    start: ClassVar[str] = "practice"

    def __post_init__(self) -> None:
        if self.seeds is not None:
            check_whole("seeds", self.seeds)
        for name, least in (
            ("proposals", 1),
            ("patience", 1),
            ("finalists", 2),
            ("finalist_seeds", 1),
        ):
            check_whole(name, getattr(self, name), least)

    def suited(self, problem: Problem) -> OuterRule[Any]:
        """:class:`AgreementSearch` where windows are to be found."""
        found = any(automatic(hyper.basis) for hyper in problem.learned.values())
        return AgreementSearch(seeds=self.seeds) if found else self

    def alternatives(self, problem: Problem, engine: Engine) -> list[Problem]:
        """With averaged weights."""
        return averaged(problem, engine) if self.averaging else []

    def init(self, hyperparameters: Mapping[str, Hyperparameter], steps: int) -> ModelState:
        """Nothing is known yet."""
        del steps
        schedule = Schedule.initial(hyperparameters)
        return ModelState(schedule, hyperparameters=learned(hyperparameters))

    def fallback(self, state: ModelState) -> Schedule | None:
        """The best schedule that needed no derivative."""
        return state.contenders[0] if state.contenders else None

    def contenders(self, state: ModelState) -> list[Schedule]:
        """The last ones that were kept, then other starts that were nearly as good."""
        rivals = [*state.contenders[:0:-1], *state.others]
        return rivals[: self.finalists - 1]

    def unmoved(self, state: ModelState, chosen: Schedule) -> dict[str, str]:
        """Where it has the values of the fallback."""
        start = self.fallback(state)
        return {} if start is None else unmoved(state, start, chosen)

    def step(self, state: ModelState, objective: Objective) -> tuple[ModelState, StepOutcome]:
        """The scale; afterwards look, propose, keep what is better."""
        if not state.observations:
            return self._begin(objective)
        notes, budget = list[str](), objective.budget
        state, signs = self._look(state, objective, notes)
        before = state  # which may be an earlier one, where that diverged
        for _ in range(self.proposals if state.status is None else 0):
            move = proposed(state)
            if not _worthwhile(move, state) or _known(move, state):
                notes.append("nothing better is expected")
                break
            if not budget.affords(len(state.seeds)):
                state = replace(state, status=Status.budget_spent)
                break
            state = _tried(state, move, objective, notes)
        accepted = state.schedule != before.schedule and state.status is not Status.rejected
        failures = 0 if accepted else state.failures + 1
        status = state.status or (Status.stalled if failures >= self.patience else None)
        state = replace(
            state, index=state.index + 1, failures=failures, looked=False, status=status
        )
        return state, _outcome(state, objective, signs, accepted, ", ".join(notes))

    def _begin(self, objective: Objective) -> tuple[ModelState, StepOutcome]:
        first, other = objective.seeds(0, 2)
        way, ways = best_way(objective, first, other)
        assert way.schedule is not None and way.rollout is not None
        state = ModelState(
            way.schedule, 1, hyperparameters=way.problem.learned,
            observations=tuple(way.observations), seeds=(first,), losses=(way.loss,), drawn=2,
            contenders=(way.schedule,),
        )  # fmt: skip
        other_starts = [w.schedule for w in ways[1:]] + [way.second]
        state = replace(state, others=tuple(s for s in other_starts if s is not None))
        signs = dict[str, str]()
        if objective.budget.affords(objective.sweep_price(way.schedule) + _TRIES):
            state, signs = _differentiated(state, objective, [way.rollout])
        tried = sum(len(one.losses) for one in ways)
        peak = "" if math.isnan(way.peak) else f", peak {way.peak:.3g}"
        note = f"the best of {count(tried, 'start')}{peak}"
        averaged = ", with averaged weights" if way.problem is not objective.problem else ""
        return state, _outcome(state, objective, signs, True, note + averaged)

    def _look(
        self, state: ModelState, objective: Objective, notes: list[str]
    ) -> tuple[ModelState, dict[str, str]]:
        """Run and differentiate on fresh seeds, unless that was just done or is too dear."""
        count = self.seeds or 1
        if state.looked:
            return state, {}
        if not objective.budget.affords(
            count * (1 + _TRIES + objective.sweep_price(state.schedule))
        ):
            notes.append("too dear to differentiate again")
            return replace(state, status=None if state.failures == 0 else Status.budget_spent), {}
        seeds = tuple(objective.seeds(0, state.drawn + count)[-count:])
        state = replace(state, drawn=state.drawn + count)
        try:
            rollouts = [objective.rollout(state.schedule, seed, keep=True) for seed in seeds]
        except DivergedError:
            notes.append("diverged on another seed")
            return _retreated(state, objective), {}
        losses = tuple(rollout.outcome.loss for rollout in rollouts)
        state = _seen(replace(state, seeds=seeds, losses=losses), state.schedule, seeds, losses)
        return _differentiated(state, objective, rollouts)


def _retreated(state: ModelState, objective: Objective) -> ModelState:
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


def _tried(state: ModelState, move: Proposal, objective: Objective, notes: list[str]) -> ModelState:
    """Run a proposal on the seeds of the last runs: keep it, or shrink what did not hold."""
    losses = list[float]()
    try:
        for seed in state.seeds:
            losses.append(objective.rollout(move.schedule, seed).outcome.loss)
    except DivergedError:
        losses += [math.inf] * (len(state.seeds) - len(losses))
    state = _seen(state, move.schedule, state.seeds, losses)
    change = statistics.fmean(losses) - state.loss
    notes.append(f"by the {move.words} {move.change:+.3g} expected, {change:+.3g} found")
    gained = -change / max(-move.change, 1e-4 * state.scale)
    if gained > _GOOD:
        factor = _GROW if gained > _VERY_GOOD else 1.0
        return replace(
            state, schedule=move.schedule, losses=tuple(losses), alone=False,
            contenders=(*state.contenders, move.schedule),
            reach=_scaled(state.reach, move.moved, factor),
        )  # fmt: skip
    both = all(move.moved)  # then the modelled ones have another try, alone
    shrunk = _scaled(state.reach, (False, True) if both else move.moved, _SHRINK)
    return replace(state, reach=shrunk, alone=both)


def _scaled(
    reach: tuple[float, float], moved: tuple[bool, bool], factor: float
) -> tuple[float, float]:
    """Radii of what moved, within limits."""
    rows = zip(reach, moved, _SHORTEST, _LONGEST, strict=True)
    a, b = (min(max(r * factor, least), most) if did else r for r, did, least, most in rows)
    return a, b


def _worthwhile(move: Proposal, state: ModelState) -> bool:
    least = max(_LEAST_GAIN * state.scale, _SURE * move.spread)
    return -move.change >= least and move.distance >= _NEAREST


def _known(move: Proposal, state: ModelState) -> bool:
    """Whether just this was run on these seeds, of which the model thought too little."""
    place = state.space.vector(move.schedule)
    seen = {o.seed for o in state.observations if torch.equal(o.place, place)}
    return seen.issuperset(state.seeds)


def _seen(
    state: ModelState, schedule: Schedule, seeds: Sequence[int], losses: Sequence[float]
) -> ModelState:
    place = state.space.vector(schedule)
    rows = [Observation(place, s, loss) for s, loss in zip(seeds, losses, strict=True)]
    return replace(state, observations=(*state.observations, *rows))


def _differentiated(
    state: ModelState, objective: Objective, rollouts: Sequence[Rollout]
) -> tuple[ModelState, dict[str, str]]:
    """With the slopes of the schedule's last runs, and the signs of their mean; without those whose
    sweep diverged."""
    state, here, slopes = replace(state, looked=True), state.space.vector(state.schedule), {}
    for rollout in rollouts:
        with contextlib.suppress(DivergedError):
            gradients = objective.differentiate(rollout).gradients
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
    signs = {name: sign_text(mean[part]) for name, part in state.space.slices.items()}
    return replace(state, observations=tuple(told)), signs


def _outcome(
    state: ModelState, objective: Objective, signs: dict[str, str], accepted: bool, note: str
) -> StepOutcome:
    ran = objective.evaluated[state.schedule.identity]
    last = [ran.accuracies[seed] for seed in state.seeds if seed in ran.losses]
    measured = [ran.measured[seed] for seed in state.seeds if seed in ran.losses]
    return StepOutcome(
        state.schedule, state.loss, mean_accuracy(last), signs, accepted, note,
        mean_metrics(measured),
    )  # fmt: skip
