"""The default outer rule: follow what seeds agree on, search the step length, go coarse to fine."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from .._basis import Basis
from .._engine import Rollout
from .._errors import DivergedError
from .._hyperparameter import Hyperparameter
from .._objective import Objective
from .._result import Status
from .._schedule import Curve, Schedule
from .base import OuterRule, OuterState, Report, learned
from .evidence import Evidence, weigh

Direction = Mapping[str, Tensor]
_COOLED = "learning_rate"  # what is lowered when a run diverges, and along the cooling ramp
# (first, longest, shortest) step length, in outer steps
_SCALE_LENGTHS = (1.0, 8.0, 0.25)
_SHAPE_LENGTHS = (0.25, 1.0, 0.125)
_RETREATS = 10  # decades that a diverging start may be lowered before giving up


@final
@dataclass(frozen=True)
class SearchState(OuterState):
    """Where the search stands.

    Attributes:
        scaling: Still looking for the scale: one coefficient each, one seed.
        level: Rung of the ladder of bases, from coarse to fine.
        failures: Outer steps in a row without an improvement on the finest rung.
    """

    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    scaling: bool = True
    level: int = 0
    failures: int = 0


@dataclass(frozen=True)
class Point:
    """A schedule and its runs, one per seed."""

    schedule: Schedule
    rollouts: Sequence[Rollout]

    @property
    def loss(self) -> float:
        """Mean validation loss."""
        return statistics.fmean(r.outcome.loss for r in self.rollouts)

    @property
    def accuracy(self) -> float | None:
        """Mean validation accuracy, or None."""
        known = [r.outcome.accuracy for r in self.rollouts if r.outcome.accuracy is not None]
        return statistics.fmean(known) if known else None


@final
@dataclass(frozen=True)
class AgreementSearch(OuterRule[SearchState]):
    r"""Natural coordinates, agreement of seeds, searched step lengths, coarse to fine.

    First the scale: with one value per hyperparameter and one seed, the hypergradient's direction is
    followed as far as plain runs keep improving. Then the shape: on two windows, then four, ..., each
    outer step draws fresh seeds, runs the current schedule on them, and proposes

    1. a cooling ramp (the learning rate falls by half a decade towards the end, then by one, two),
       because the derivative at one noisy end point hardly sees what a finite cooling gains; where
       that helps, nothing needs to be differentiated;
    2. else a step along the :class:`Evidence` direction, in which coefficients move as far as their
       hypergradient stands out of its noise, and not at all where seeds disagree.

    A proposal is judged by plain runs on the same seeds as the schedule it starts from; a longer step
    must pay by `margin` and by a tenth of what the shorter one gained. Only that schedule's own runs
    keep their states: where something is differentiated, it costs a reverse sweep more.

    Args:
        seeds: Runs per outer step once the scale is found.
        margin: Relative improvement that a longer step must bring.
        patience: Outer steps without improvement on the finest rung before stopping.
        finalists: Best schedules that are compared on common seeds at the end.
        finalist_seeds: Number of those seeds.

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
    finalists: int = 3
    finalist_seeds: int = 2

    def with_seeds(self, seeds: int | None) -> AgreementSearch:
        return self if seeds is None else replace(self, seeds=seeds)

    def init(self, hyperparameters: Mapping[str, Hyperparameter], steps: int) -> SearchState:
        """The coarsest rung."""
        schedule = Schedule.initial(hyperparameters)
        return _on_level(SearchState(schedule, hyperparameters=learned(hyperparameters)), 0, steps)

    def step(self, state: SearchState, objective: Objective) -> tuple[SearchState, Report]:
        """Run, differentiate, propose, keep the best."""
        seeds = objective.seeds(state.index, 1 if state.scaling else self.seeds)
        base, state = _first_point(state, objective, seeds)
        search = _Search(self, state, objective, seeds)
        if not state.scaling:
            best, length = search.along(base, _ramp(state), first=0.5, longest=2.0, shortest=0.5)
            if length:
                note = f"cooled by {length:g} decades towards the end"
                return self._cooled(state, best, objective.steps), _report(state, best, {}, note)
        evidence = _evidence(state, objective, base)
        direction = evidence.direction(base.schedule, state.hyperparameters)
        first, longest, shortest = _SCALE_LENGTHS if state.scaling else _SHAPE_LENGTHS
        best, length = search.along(base, direction, first, longest, shortest)
        note = f"step length {length:g}" if length else "no proposal was better"
        report = _report(state, best, evidence.signs(), note, accepted=length > 0)
        return self._next(state, best, length, objective.steps), report

    def _cooled(self, state: SearchState, best: Point, steps: int) -> SearchState:
        """The ramp helped: climb, and differentiate only where it does not."""
        state = replace(state, schedule=best.schedule, index=state.index + 1, failures=0)
        return _on_level(state, state.level + 1, steps)

    def _next(self, state: SearchState, best: Point, length: float, steps: int) -> SearchState:
        """Climb the ladder once the scale is bracketed, and whenever a rung is done."""
        state = replace(state, schedule=best.schedule, index=state.index + 1)
        if state.scaling:
            if length >= _SCALE_LENGTHS[1]:
                return state
            return _on_level(replace(state, scaling=False), state.level + 1, steps)
        failures = 0 if length or state.level + 1 < _levels(state) else state.failures + 1
        status = Status.stalled if failures >= self.patience else None
        state = replace(state, failures=failures, status=status)
        return _on_level(state, state.level + 1, steps)


@dataclass(frozen=True)
class _Search:
    """Line searches by plain runs on common seeds."""

    rule: AgreementSearch
    state: SearchState
    objective: Objective
    seeds: Sequence[int]

    def along(
        self, base: Point, direction: Direction, first: float, longest: float, shortest: float
    ) -> tuple[Point, float]:
        """The best point on a ray and its length; the base and 0 where none is better."""
        if not any(bool(d.any()) for d in direction.values()):
            return base, 0.0
        length, best = first, None
        while best is None and length >= shortest:
            best = self._better(base, base, direction, length, price=0.0)
            length = length if best is not None else length / 2
        if best is None:
            return base, 0.0
        if length < first:
            return best, length
        while 2 * length <= longest:
            further = self._better(best, base, direction, 2 * length, self._price(base, best))
            if further is None:
                break
            best, length = further, 2 * length
        # Doubling may have jumped over the best: look on both sides of where it stopped.
        for factor in (0.75, 1.5) if length >= 2 else ():
            price = 0.0 if factor < 1 else self._price(base, best)
            nearer = self._better(best, base, direction, factor * length, price)
            if nearer is not None:
                return nearer, factor * length
        return best, length

    def _price(self, base: Point, best: Point) -> float:
        """By how much a longer step must lower the loss: by the margin, and by a tenth of what was
        gained so far, because the hot side of the optimum is the unstable one."""
        return max(self.rule.margin * abs(best.loss), 0.1 * (base.loss - best.loss))

    def _better(
        self, best: Point, base: Point, direction: Direction, length: float, price: float
    ) -> Point | None:
        """The point at `length`, if its loss is below that of `best` by the price."""
        schedule = _moved(self.state, base.schedule, direction, length)
        rollouts: list[Rollout] = []
        for seed, rival in zip(self.seeds, best.rollouts, strict=True):
            try:
                rollouts.append(self.objective.rollout(schedule, seed))
            except DivergedError:
                return None
            # Clearly worse on its first seed: the others need not be run.
            limit = rival.outcome.loss + self.rule.margin * abs(rival.outcome.loss)
            if rollouts[-1].outcome.loss > limit:
                return None
        point = Point(schedule, rollouts)
        return point if point.loss < best.loss - price else None


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
            if attempt == _RETREATS or _COOLED not in state.hyperparameters:
                raise
            down = {_COOLED: -torch.ones_like(state.schedule[_COOLED])}
            state = replace(state, schedule=_moved(state, state.schedule, down, 1.0))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _evidence(state: SearchState, objective: Objective, base: Point) -> Evidence:
    found = [objective.differentiate(rollout) for rollout in base.rollouts]
    return weigh(found, base.schedule, state.hyperparameters, objective.steps)


def _moved(state: SearchState, schedule: Schedule, direction: Direction, length: float) -> Schedule:
    """The schedule `length` outer steps along a direction, within the bounds."""
    changed = {}
    for name, step in direction.items():
        hyper, value = state.hyperparameters[name], schedule[name]
        target = hyper.to_coordinate(value) + length * hyper.outer_step * step
        changed[name] = torch.where(step == 0, value, hyper.to_value(target))
    return schedule.with_coefficients(changed)


def _ramp(state: SearchState) -> Direction:
    """From nothing at the first coefficient of the learning rate to one outer step down at the last."""
    if _COOLED not in state.hyperparameters or len(state.schedule[_COOLED]) < 2:
        return {}
    size = len(state.schedule[_COOLED])
    return {_COOLED: -torch.linspace(0, 1, size, dtype=torch.float64)}


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
        if basis != old.basis:
            per_step = old.basis.expand(old.coefficients, steps)
            curves[name] = Curve(basis, per_step[basis.positions(steps)])
    return replace(state, level=level, schedule=Schedule(curves, state.schedule.settings))
