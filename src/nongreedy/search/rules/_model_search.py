"""The default outer rule: from practice, by a model of all values and hypergradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

from ...engines import Engine, Problem
from ...errors import DivergedError, check_whole
from ...schedules import Hyperparameter, Schedule
from ...schedules._hyperparameter import learned
from .. import Ask, Objective
from .._result import Status
from .._words import count
from ._agreement import AgreementSearch
from ._averaged import averaged
from ._model_state import ModelState
from ._model_steps import differentiated, middle, outcome, retreated, seen, tried, worthwhile
from ._pairs import paired
from ._practice import warm
from ._proposal import proposed
from ._rule import OuterRule, StepOutcome
from ._rungs import automatic
from ._start import best_way
from ._unmoved import unmoved

_TRIES = 2  # plain runs that a hypergradient must leave, or it is not worth its price


@final
@dataclass(frozen=True)
class ModelSearch(OuterRule[ModelState]):
    r"""From what everybody knows, by a quadratic model of everything that was seen.

    First the scale: the schedule at hand, by default one that falls to nothing from a usual peak, is
    run with higher and lower learning rates on one seed, and likewise with averaged weights
    (:class:`ScheduleFreeAverage`) where the optimizer has no average yet; then, with a budget of 30 or
    more, with all strengths of the task (augmentation, noise: what is nothing at 0) weaker or stronger
    together. The best is the **fallback**: it is returned unless another schedule beats it on common fresh
    seeds.

    Then each outer step draws a fresh seed, runs and differentiates the schedule on it, and proposes

    1. for schedules and other short hyperparameters the minimum of a :class:`Quadratic` of all values (in
       logarithms where they are positive), with an offset per seed, and all hypergradients, with their
       noise, in a trust region;
    2. for long ones, such as weights of examples, a step along the mean gradient as far as seeds agree
       (:func:`descent`), whose length plain runs decide.

    A proposal costs a plain run on the same seed. Where it does not lower the loss, the trust region
    shrinks, by less where noise explains what was found; where both kinds moved, the modelled ones are
    tried alone. The search ends early, and leaves the rest of its budget, where nothing is expected to be
    gained.

    What no gradient reaches (:class:`GradientFree`) is part of the model, by values alone: plain runs to
    both sides of it, on the seed of the last run, each at its own price; learning rates go along with the
    batch size.

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
        4
    """

    seeds: int | None = None
    averaging: bool = True
    proposals: int = 3
    patience: int = 4
    finalists: int = 4
    finalist_seeds: int = 2
    start: ClassVar[str] = "practice"
    gradient_free: ClassVar[bool] = True

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
        """The last one that was kept, what the user began with, the mean of the later ones, the best of
        another start or way of training; then the others that were kept, or begun with."""
        improved, other = list(state.contenders[:0:-1]), state.others[:1]
        rivals = dict[tuple[object, ...], Schedule]()
        for schedule in (
            *improved[:1], *state.begun, *middle(state), *other, *improved[1:], *state.others
        ):  # fmt: skip
            rivals.setdefault(schedule.identity, schedule)
        if (start := self.fallback(state)) is not None:
            rivals.pop(start.identity, None)  # at a bound, several scales are one
        return list(rivals.values())[: self.finalists - 1]

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
            if not worthwhile(move, state):
                notes.append("nothing better is expected")
                break
            if not budget.affords(len(state.seeds) * objective.price(move.schedule)):
                state = replace(state, status=Status.budget_spent)
                break
            state = tried(state, move, objective, notes)
        accepted = state.schedule != before.schedule and state.status is not Status.rejected
        failures = 0 if accepted else state.failures + 1
        status = state.status or (Status.stalled if failures >= self.patience else None)
        state = replace(
            state, index=state.index + 1, failures=failures, looked=False, status=status
        )
        return state, outcome(state, objective, signs, accepted, ", ".join(notes))

    def _begin(self, objective: Objective) -> tuple[ModelState, StepOutcome]:
        first, other = objective.seeds(0, 2)
        way, ways = best_way(objective, first, other)
        assert way.schedule is not None
        state = ModelState(
            way.schedule, 1, hyperparameters=way.problem.moving,
            observations=tuple(way.observations), seeds=(first,), losses=(way.loss,), drawn=2,
            contenders=(way.schedule,),
        )  # fmt: skip
        other_starts = [w.schedule for w in ways[1:]] + [w.second for w in ways]
        given = [w.at(0.0) for w in ways if w.problem is objective.problem and warm(w.problem)]
        begun = tuple(schedule for schedule in given if schedule != way.schedule)
        others = tuple(s for s in other_starts if s is not None and s not in begun)
        state = replace(state, others=others, begun=begun)
        signs, notes = dict[str, str](), list[str]()
        price = objective.price(way.schedule) * _TRIES + objective.sweep_price(way.schedule)
        rollouts = [way.rollout] if way.rollout is not None else []
        for one in ways:  # states are large: these are given up where others are better
            one.rollout = None
        state = paired(state, objective, notes, price, rollouts)
        again = 0 if rollouts else 1  # its states were given up for those of another way
        price = objective.price(state.schedule)
        sweep = objective.sweep_price(state.schedule)
        if objective.budget.affords((again + _TRIES) * price + sweep):
            rollouts = rollouts or [objective.rollout(state.schedule, first, keep=True)]
            state, signs = differentiated(state, objective, rollouts, notes)
        tried = sum(one.runs for one in ways)
        peak = "" if math.isnan(way.peak) else f", peak {way.peak:.3g}"
        note = f"the best of {count(tried, 'start')}{peak}"
        averaged = ", with averaged weights" if way.problem is not objective.problem else ""
        words = ", ".join([note + averaged, *notes])
        return state, outcome(state, objective, signs, True, words)

    def _look(
        self, state: ModelState, objective: Objective, notes: list[str]
    ) -> tuple[ModelState, dict[str, str]]:
        """Run and differentiate on fresh seeds, unless that was just done or is too dear."""
        count = self.seeds or 1
        if state.looked:
            return state, {}
        runs = (1 + _TRIES) * objective.price(state.schedule)
        dear = count * (runs + objective.sweep_price(state.schedule))
        if not objective.budget.affords(dear):
            notes.append("too dear to differentiate again")
            return replace(state, status=None if state.failures == 0 else Status.budget_spent), {}
        seeds = tuple(objective.seeds(0, state.drawn + count)[-count:])
        objective.ahead(Ask(state.schedule, seed, True) for seed in seeds)
        state = replace(state, drawn=state.drawn + count, alone=False)
        try:
            rollouts = [objective.rollout(state.schedule, seed, keep=True) for seed in seeds]
        except DivergedError:
            notes.append("diverged on another seed")
            return retreated(state, objective), {}
        losses = tuple(rollout.outcome.loss for rollout in rollouts)
        state = seen(replace(state, seeds=seeds, losses=losses), state.schedule, seeds, losses)
        state = paired(state, objective, notes, dear, rollouts)
        return differentiated(state, objective, rollouts, notes)
