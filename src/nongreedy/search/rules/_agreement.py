"""The default outer rule: follow what seeds agree on, search the step length, go coarse to fine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch

from ...errors import DivergedError
from ...schedules import Hyperparameter, Schedule
from ...schedules._hyperparameter import learned
from .. import Ask, Objective, Status
from ._evidence import weigh
from ._finite import cooled_tail, finite
from ._line_search import Lengths, LineSearch, Point
from ._moves import COOLED, cooling, moved, ray, traded
from ._rule import OuterRule, StepOutcome
from ._rungs import advised, refined
from ._search_state import SearchState

_SCALE = Lengths(first=1.0, longest=8.0, shortest=0.25)
_SHAPE = Lengths(first=0.25, longest=1.0, shortest=0.125)
_SPLIT = replace(_SHAPE, dear=True)
_RETREATS = 10  # decades that a diverging start may be lowered before giving up
_SEEDS, _MORE_SEEDS = 2, 3  # per outer step: a test over seeds needs some
_PRICE = 9.0  # plain runs per seed of a whole outer step: itself, moves, a sweep, proposals
_POOLED = 8  # seeds before automatic windows that do not improve count as a failure


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

    Where the budget does not pay for an outer step on every rung (under 80 plain runs or so for five
    learning rates), the search is hurried: it draws one seed instead of two, leaves out as many coarse
    rungs as it cannot afford, and differentiates before it tries moves that need no derivative. Not
    where Adam's beta1 is learned, nor with automatic windows.

    With ``Windows("auto")`` there is no such timetable, and windows may end up of unequal width. It
    stays with one window until Student's t-test over the seeds of a schedule, at a level of 5 %
    (:func:`nongreedy.statistics.cuts`), finds halves whose hypergradients differ; or until
    plain runs call for a cooler last half, or quarter, of the last window. What is split is kept if
    following it pays by `margin`, and is never narrower than the width :math:`W^*` at which
    hypergradients are least wrong (:class:`nongreedy.statistics.Sharing`).

    Where a sweep ends because adjoints (or tangents) have outgrown their precision, there is no
    derivative: a cooler schedule is looked for by plain runs, and else the schedule stays.

    A proposal is judged by plain runs on the same seeds as the schedule it starts from; a longer step
    must pay by `margin` and by a tenth of what the shorter one gained. Only that schedule's own runs
    keep their states: where something is differentiated, it costs a reverse sweep more.

    Args:
        seeds: Runs per outer step once the scale is found; None is 2, 3 with automatic windows, 1 where
            the search is hurried.
        margin: Relative improvement that a longer step must bring.
        patience: Outer steps without improvement on the finest rung before stopping.
        finalists: Best schedules that meet again on common fresh seeds at the end, in rounds after
            which the worse half leaves.
        finalist_seeds: Seeds per round.

    Raises:
        DivergedError: If runs diverge however much the learning rate is lowered.
        ValueError: ``Windows("auto")`` with an engine that gives no per-step hypergradients.

    Source: coordinates, agreement, search and rungs are this library's; hypergradients as in
    arXiv:2007.07869 (:cite:`micaelli2021gradient`).

    Cannot: find a schedule whose gain is smaller than the noise between seeds.

    Example:
        >>> AgreementSearch(seeds=3).patience
        2
    """

    seeds: int | None = None
    margin: float = 0.01
    patience: int = 2
    finalists: int = 6
    finalist_seeds: int = 2

    def init(self, hyperparameters: Mapping[str, Hyperparameter], steps: int) -> SearchState:
        """The coarsest rung."""
        schedule = Schedule.initial(hyperparameters)
        start = SearchState(schedule, hyperparameters=learned(hyperparameters))
        return start.on_level(0, steps)

    def step(self, state: SearchState, objective: Objective) -> tuple[SearchState, StepOutcome]:
        """Run, propose, differentiate where that does not help, keep the best."""
        seeds = objective.seeds(state.index, 1 if state.scaling else self._seeds(state))
        base, state = _first_point(state, objective, seeds)
        search = LineSearch(objective, seeds, self.margin)
        if not state.scaling and (state.failures or not state.hurried):
            best, notes, cooled = base, list[str](), False
            if not state.tried:
                best, notes, cooled = finite(state.hyperparameters, search, base)
            if not cooled:
                narrowest = state.width / 2**0.5 / objective.steps
                best, more = cooled_tail(state.hyperparameters, search, best, narrowest)
                notes += more
            state = replace(state, tried=True)
            if notes:
                return self._changed(state, best, cooled, objective.steps), _outcome(
                    state, best, {}, ", ".join(notes)
                )
        objective.ahead(Ask(base.schedule, rollout.run.seed, True) for rollout in base.rollouts)
        try:
            sweeps = (*state.sweeps, *(objective.differentiate(r) for r in base.rollouts))
        except DivergedError as error:
            return self._cooled(state, base, search, error)
        if state.automatic:
            state = replace(state, width=advised(sweeps, COOLED) or state.width)
        state = replace(state, sweeps=sweeps)
        best, length, signs, split = self._followed(state, base, search)
        notes = [*split, f"step length {length:g}" if length else "no proposal was better"]
        outcome = _outcome(state, best, signs, ", ".join(notes), accepted=length > 0)
        return self._next(state, best, length, objective), outcome

    def _seeds(self, state: SearchState) -> int:
        if self.seeds is not None or state.hurried:
            return self.seeds or 1
        return _MORE_SEEDS if state.automatic else _SEEDS

    def _followed(
        self, state: SearchState, base: Point, search: LineSearch
    ) -> tuple[Point, float, dict[str, str], list[str]]:
        """The best point along the evidence, its length, the signs, and what was split for it.

        Windows that evidence would split are kept only if following it then pays by the margin.
        """
        steps, moving = search.objective.steps, state.hyperparameters

        def follow(point: Point, lengths: Lengths) -> tuple[Point, float, dict[str, str]]:
            evidence = weigh(state.sweeps, point.schedule, moving, steps)
            move = ray(point.schedule, moving, evidence.direction(point.schedule, moving))
            return *search.along(point, move, lengths), evidence.signs()

        if not state.scaling:
            finer, split = refined(base.schedule, moving, state.sweeps, steps)
            if split:
                best, length, signs = follow(Point(finer, base.rollouts), _SPLIT)
                if length:
                    return best, length, signs, split
        return *follow(base, _SCALE if state.scaling else _SHAPE), []

    def _cooled(
        self, state: SearchState, base: Point, search: LineSearch, error: DivergedError
    ) -> tuple[SearchState, StepOutcome]:
        """Adjoints or tangents say nothing here: a lower learning rate where plain runs are for it."""
        move = cooling(base.schedule, state.hyperparameters)
        best, length = search.along(base, move, _SCALE if state.scaling else _SHAPE)
        ending = f"cooled by {length:g} decades" if length else "no cooler schedule was better"
        note = f"no derivative ({error.quantity}, step {error.step}): {ending}"
        outcome = _outcome(state, best, {}, note, accepted=length > 0)
        if state.scaling and length:  # there may be a derivative now, and the scale is still open
            return replace(state, schedule=best.schedule, index=state.index + 1, sweeps=()), outcome
        return self._next(state, best, length, search.objective), outcome

    def _changed(self, state: SearchState, best: Point, cooled: bool, steps: int) -> SearchState:
        """A finite move helped. Where the ramp did, climb: there is nothing to differentiate."""
        state = replace(state, schedule=best.schedule, index=state.index + 1, failures=0, sweeps=())
        return state.on_level(state.level + 1, steps) if cooled else state

    def _next(
        self, state: SearchState, best: Point, length: float, objective: Objective
    ) -> SearchState:
        """Climb the ladder once the scale is bracketed, and whenever a rung is done."""
        steps = objective.steps
        state = replace(state, schedule=best.schedule, index=state.index + 1)
        if length:
            state = replace(state, sweeps=(), tried=False)
        if state.scaling:
            if length >= _SCALE.longest:
                return state
            return self._shaping(replace(state, scaling=False), objective)
        # Where windows are split by evidence, a few more seeds may yet call for it.
        few = state.automatic and 0 < len(state.sweeps) < _POOLED
        failed = not (length or few or state.level + 1 < state.rungs)
        failures = state.failures + 1 if failed else 0 if length else state.failures
        status = Status.stalled if failures >= self.patience else None
        state = replace(state, failures=failures, status=status)
        return state.on_level(state.level + 1, steps)

    def _shaping(self, state: SearchState, objective: Objective) -> SearchState:
        """The scale is found: onto the next rung, or in a hurry the first from which the budget pays
        for all that follow."""
        first = state.level + 1
        left = objective.budget.left
        short = left < _PRICE * self._seeds(state) * (state.rungs - first)
        if short and _may_hurry(state):
            state = replace(state, hurried=True)
            affordable = max(int(left / (_PRICE * self._seeds(state))), 1)
            first = max(first, state.rungs - affordable)
        return state.on_level(first, objective.steps)


def _may_hurry(state: SearchState) -> bool:
    """Adam's beta1 has to be exchanged early, and automatic windows want a test over seeds: neither is
    for one seed to decide."""
    return traded(state.hyperparameters) != "beta1" and not state.automatic


def _outcome(
    state: SearchState, best: Point, signs: dict[str, str], note: str, accepted: bool = True
) -> StepOutcome:
    where = "scale" if state.scaling else f"rung {state.level}"
    seeds = f"{len(best.rollouts)} seed{'s' if len(best.rollouts) > 1 else ''}"
    return StepOutcome(
        best.schedule,
        best.loss,
        best.accuracy,
        signs,
        accepted,
        f"{where}, {seeds}: {note}",
        best.metrics,
    )


def _first_point(
    state: SearchState, objective: Objective, seeds: Sequence[int]
) -> tuple[Point, SearchState]:
    """Run the current schedule on these seeds; a decade cooler for as long as it diverges."""
    for attempt in range(_RETREATS + 1):
        objective.ahead(Ask(state.schedule, seed, state.scaling) for seed in seeds)
        try:
            rollouts = [objective.rollout(state.schedule, seed, keep=True) for seed in seeds]
            return Point(state.schedule, rollouts), state
        except DivergedError:
            if attempt == _RETREATS or COOLED not in state.hyperparameters:
                raise
            down = {COOLED: -torch.ones_like(state.schedule[COOLED])}
            cooler = moved(state.schedule, state.hyperparameters, down, 1.0)
            state = replace(state, schedule=cooler, sweeps=())
    raise AssertionError("unreachable: the last attempt returns or raises")
