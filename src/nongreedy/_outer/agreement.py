"""The default outer rule: follow what seeds agree on, search the step length, go coarse to fine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import torch

from .._basis import Basis, TimeBasis
from .._engine import Hypergradient
from .._errors import DivergedError
from .._hyperparameter import Hyperparameter
from .._objective import Objective
from .._result import Status
from .._schedule import Schedule
from .base import OuterRule, OuterState, Report, learned
from .evidence import weigh
from .line_search import Lengths, LineSearch, Point
from .moves import COOLED, exchange, moved, ramp, ray, regularize, traded

_SCALE = Lengths(first=1.0, longest=8.0, shortest=0.25)
_SHAPE = Lengths(first=0.25, longest=1.0, shortest=0.125)
_RAMP = Lengths(first=0.5, longest=2.0, shortest=0.5)
_EXCHANGE = Lengths(first=0.5, longest=1.0, shortest=0.5, dear=True)
_REGULARIZE = Lengths(first=1.0, longest=2.0, shortest=1.0)
_RETREATS = 10  # decades that a diverging start may be lowered before giving up


@final
@dataclass(frozen=True)
class SearchState(OuterState):
    """Where the search stands.

    Attributes:
        scaling: Still looking for the scale: one coefficient each, one seed.
        level: Rung of the ladder of bases, from coarse to fine.
        failures: Outer steps in a row without an improvement on the finest rung.
        found: Hypergradients of this very schedule from earlier outer steps, on other seeds.
        tried: Whether the moves that need no derivative were tried from this schedule.
    """

    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    scaling: bool = True
    level: int = 0
    failures: int = 0
    found: tuple[Hypergradient, ...] = ()
    tried: bool = False


@final
@dataclass(frozen=True)
class AgreementSearch(OuterRule[SearchState]):
    r"""Natural coordinates, agreement of seeds, searched step lengths, coarse to fine.

    First the scale: with one value per hyperparameter and one seed, the hypergradient's direction is
    followed as far as plain runs keep improving. Then the shape: on two windows, then four, ..., each
    outer step draws fresh seeds, runs the current schedule on them, and proposes

    1. what the derivative at one noisy end point hardly sees: momentum, or Adam's beta1, exchanged
       for learning rate by half a decade, up or down (:func:`exchange`), ten times the weight decay,
       and a cooling ramp (the learning rate falls by half a decade towards the end, then by one,
       two); where one of them helps, nothing needs to be differentiated;
    2. else a step along the :class:`Evidence` direction, in which coefficients move as far as their
       hypergradient stands out of its noise, and not at all where seeds disagree. Hypergradients of
       a schedule that does not move are kept and weighed together with those of further seeds.

    A proposal is judged by plain runs on the same seeds as the schedule it starts from; a longer step
    must pay by `margin` and by a tenth of what the shorter one gained. Only that schedule's own runs
    keep their states: where something is differentiated, it costs a reverse sweep more.

    Args:
        seeds: Runs per outer step once the scale is found.
        margin: Relative improvement that a longer step must bring.
        patience: Outer steps without improvement on the finest rung before stopping.
        finalists: Best schedules that meet again on common fresh seeds at the end, in rounds after
            which the worse half leaves.
        finalist_seeds: Seeds per round.

    Raises:
        DivergedError: If runs diverge however much the learning rate is lowered.

    Source: coordinates, agreement, search and rungs are this library's; hypergradients as in
    arXiv:2007.07869.

    Cannot: find a schedule whose gain is smaller than the noise between seeds.

    Example:
        >>> AgreementSearch(seeds=3).patience
        2
    """

    seeds: int = 2
    margin: float = 0.01
    patience: int = 2
    finalists: int = 6
    finalist_seeds: int = 2

    def with_seeds(self, seeds: int | None) -> AgreementSearch:
        return self if seeds is None else replace(self, seeds=seeds)

    def init(self, hyperparameters: Mapping[str, Hyperparameter], steps: int) -> SearchState:
        """The coarsest rung."""
        schedule = Schedule.initial(hyperparameters)
        return _on_level(SearchState(schedule, hyperparameters=learned(hyperparameters)), 0, steps)

    def step(self, state: SearchState, objective: Objective) -> tuple[SearchState, Report]:
        """Run, propose, differentiate where that does not help, keep the best."""
        seeds = objective.seeds(state.index, 1 if state.scaling else self.seeds)
        base, state = _first_point(state, objective, seeds)
        search = LineSearch(objective, seeds, self.margin)
        if not (state.scaling or state.tried):
            best, notes, cooled = _finite(state.hyperparameters, search, base)
            state = replace(state, tried=True)
            if notes:
                return self._changed(state, best, cooled, objective.steps), _report(
                    state, best, {}, ", ".join(notes)
                )
        found = (*state.found, *(objective.differentiate(r) for r in base.rollouts))
        evidence = weigh(found, base.schedule, state.hyperparameters, objective.steps)
        state = replace(state, found=found)
        direction = evidence.direction(base.schedule, state.hyperparameters)
        move = ray(base.schedule, state.hyperparameters, direction)
        best, length = search.along(base, move, _SCALE if state.scaling else _SHAPE)
        note = f"step length {length:g}" if length else "no proposal was better"
        report = _report(state, best, evidence.signs(), note, accepted=length > 0)
        return self._next(state, best, length, objective.steps), report

    def _changed(self, state: SearchState, best: Point, cooled: bool, steps: int) -> SearchState:
        """A finite move helped. Where the ramp did, climb: there is nothing to differentiate."""
        state = replace(state, schedule=best.schedule, index=state.index + 1, failures=0, found=())
        return _on_level(state, state.level + 1, steps) if cooled else state

    def _next(self, state: SearchState, best: Point, length: float, steps: int) -> SearchState:
        """Climb the ladder once the scale is bracketed, and whenever a rung is done."""
        state = replace(state, schedule=best.schedule, index=state.index + 1)
        if length:
            state = replace(state, found=(), tried=False)
        if state.scaling:
            if length >= _SCALE.longest:
                return state
            return _on_level(replace(state, scaling=False), state.level + 1, steps)
        failures = 0 if length or state.level + 1 < _levels(state) else state.failures + 1
        status = Status.stalled if failures >= self.patience else None
        state = replace(state, failures=failures, status=status)
        return _on_level(state, state.level + 1, steps)


def _finite(
    hyperparameters: Mapping[str, Hyperparameter], search: LineSearch, base: Point
) -> tuple[Point, list[str], bool]:
    """Moves that need no derivative: the best point, what helped, and whether the ramp did."""
    best, notes = base, []
    for sign, verb in ((1, "raised"), (-1, "lowered")):
        move = exchange(base.schedule, hyperparameters, sign)
        best, length = search.along(best, move, _EXCHANGE)
        if length:
            notes.append(
                f"{traded(hyperparameters)} {verb} by {length:g} decades for learning rate"
            )
            break
    best, length = search.along(best, regularize(best.schedule, hyperparameters), _REGULARIZE)
    if length:
        notes.append(f"weight decay raised by {length:g} outer steps")
    best, cooled = search.along(best, ramp(best.schedule, hyperparameters), _RAMP)
    if cooled:
        notes.append(f"cooled by {cooled:g} decades towards the end")
    return best, notes, cooled > 0


def _report(
    state: SearchState, best: Point, signs: dict[str, str], note: str, accepted: bool = True
) -> Report:
    where = "scale" if state.scaling else f"rung {state.level}"
    seeds = f"{len(best.rollouts)} seed{'s' if len(best.rollouts) > 1 else ''}"
    return Report(
        best.schedule, best.loss, best.accuracy, signs, accepted, f"{where}, {seeds}: {note}"
    )


def _first_point(
    state: SearchState, objective: Objective, seeds: Sequence[int]
) -> tuple[Point, SearchState]:
    """Run the current schedule on these seeds; a decade cooler for as long as it diverges."""
    for attempt in range(_RETREATS + 1):
        try:
            rollouts = [objective.rollout(state.schedule, seed, keep=True) for seed in seeds]
            return Point(state.schedule, rollouts), state
        except DivergedError:
            if attempt == _RETREATS or COOLED not in state.hyperparameters:
                raise
            down = {COOLED: -torch.ones_like(state.schedule[COOLED])}
            cooler = moved(state.schedule, state.hyperparameters, down, 1.0)
            state = replace(state, schedule=cooler, found=())
    raise AssertionError("unreachable: the last attempt returns or raises")


def _ladder(hyper: Hyperparameter) -> list[Basis]:
    """Coarse to fine; a schedule that the user gave coefficient by coefficient stays as it is."""
    return hyper.basis.ladder() if len(hyper.initial.unique()) == 1 else [hyper.basis]


def _levels(state: SearchState) -> int:
    return max(len(_ladder(hyper)) for hyper in state.hyperparameters.values())


def _on_level(state: SearchState, level: int, steps: int) -> SearchState:
    """The same curves on the bases of a rung (the finest at most); splitting costs nothing."""
    level, curves = min(level, _levels(state) - 1), dict(state.schedule.curves)
    for name, hyper in state.hyperparameters.items():
        ladder, old = _ladder(hyper), curves[name]
        basis = ladder[min(level, len(ladder) - 1)]
        if isinstance(basis, TimeBasis) and basis != old.basis:
            per_step = old.basis.expand(old.coefficients, steps)
            curves[name] = replace(old, basis=basis, coefficients=per_step[basis.positions(steps)])
    climbed = level != state.level
    # Only per-step derivatives can be projected on the new bases.
    found = tuple(h for h in state.found if h.per_step or not climbed)
    tried, schedule = state.tried and not climbed, Schedule(curves, state.schedule.settings)
    return replace(state, level=level, schedule=schedule, found=found, tried=tried)
