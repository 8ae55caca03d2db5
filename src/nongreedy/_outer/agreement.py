"""The default outer rule: signs that seeds agree on, searched step lengths, coarse to fine."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import torch
from torch import Tensor

from .._engine import Hypergradient, Rollout
from .._errors import DivergedError
from .._hyperparameter import Default, Hyperparameter
from .._objective import Objective
from .._result import Status
from .._schedule import Curve, Schedule
from .base import OuterRule, OuterState, Report, learned, sign_text

FORM = "sign"


@final
@dataclass(frozen=True)
class SearchState(OuterState):
    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    level: int = 0
    length: float = 1.0
    failures: int = 0


@dataclass
class Point:
    """A schedule with one kept rollout per seed."""

    schedule: Schedule
    rollouts: list[Rollout]

    @property
    def loss(self) -> float:
        return statistics.fmean(r.outcome.loss for r in self.rollouts)

    @property
    def accuracy(self) -> float | None:
        known = [r.outcome.accuracy for r in self.rollouts if r.outcome.accuracy is not None]
        return statistics.fmean(known) if known else None


@final
@dataclass(frozen=True)
class AgreementSearch(OuterRule[SearchState]):
    seeds: int = 2
    longest: float = 4.0
    shortest: float = 0.125
    finalists: int = 3
    finalist_seeds: int = 3

    defaults: ClassVar[Mapping[str, Default]] = {}

    def with_seeds(self, seeds):
        return self if seeds is None else replace(self, seeds=seeds)

    def init(self, hyperparameters, steps):
        state = SearchState(Schedule.initial(hyperparameters), hyperparameters=learned(hyperparameters))
        return replace(state, schedule=self._at_level(state, 0, steps))

    def _ladder(self, h):
        if h.initial.unique().numel() > 1:
            return [h.basis]
        return h.basis.ladder()

    def _levels(self, state):
        return max(len(self._ladder(h)) for h in state.hyperparameters.values())

    def _at_level(self, state, level, steps):
        curves = dict(state.schedule.curves)
        for n, h in state.hyperparameters.items():
            ladder = self._ladder(h)
            basis = ladder[min(level, len(ladder) - 1)]
            old = curves[n]
            if old.basis != basis:
                curves[n] = Curve(basis, old.basis.expand(old.coefficients, steps)[basis.positions(steps)])
        return Schedule(curves, state.schedule.settings)

    def step(self, state, objective):
        seeds = objective.seeds(state.index, self.seeds)
        base, state = self._base(state, objective, seeds)
        direction, signs = self._direction(state, objective, base)
        best, length = self._search(state, objective, base, direction, seeds)
        moved = best is not base
        note = f"L{state.level} length {length:g}" if moved else "no better"
        nxt = replace(state, schedule=best.schedule, index=state.index + 1)
        top = state.level + 1 >= self._levels(state)
        if moved:
            nxt = replace(nxt, length=min(max(length, 0.25), 1.0), failures=0)
            if length <= 1.0 and not top:
                nxt = replace(nxt, level=state.level + 1)
        else:
            nxt = replace(nxt, length=max(state.length / 2, .25), failures=state.failures + 1)
            if not top:
                nxt = replace(nxt, level=state.level + 1)
            elif nxt.failures >= 2:
                nxt = replace(nxt, status=Status.stalled)
        if nxt.level != state.level:
            nxt = replace(nxt, schedule=self._at_level(nxt, nxt.level, objective.steps))
        return nxt, Report(best.schedule, best.loss, best.accuracy, signs, moved, note)

    def _base(self, state, objective, seeds):
        for attempt in range(8):
            try:
                return self._evaluate(objective, state.schedule, seeds), state
            except DivergedError:
                if state.index and attempt == 7:
                    raise
                h = state.hyperparameters["learning_rate"]
                v = state.schedule["learning_rate"]
                state = replace(state, schedule=state.schedule.with_coefficients(
                    {"learning_rate": h.to_value(h.to_coordinate(v) - h.outer_step)}))
        raise

    def _evaluate(self, objective, schedule, seeds):
        return Point(schedule, [objective.rollout(schedule, s, keep=True) for s in seeds])

    def _direction(self, state, objective, base):
        grads = [objective.differentiate(r) for r in base.rollouts]
        direction, signs = {}, {}
        means = {}
        for n, h in state.hyperparameters.items():
            v = base.schedule[n]
            g = torch.stack([h.gradient_in_coordinate(v, q.gradients[n]) * h.outer_step for q in grads])
            agreed = (g.sign() == g[0].sign()).all(0)
            signs[n] = sign_text(torch.where(agreed, g[0], 0.0))
            m = torch.where(agreed, g.mean(0), 0.0)
            m = torch.where((v <= h.bounds[0]) & (m > 0) | (v >= h.bounds[1]) & (m < 0), 0.0, m)
            means[n] = m
        if FORM == "sign":
            direction = {n: -m.sign() for n, m in means.items()}
        else:
            p = float(FORM)
            big = max(m.abs().max().item() for m in means.values()) or 1.0
            direction = {n: -m.sign() * (m.abs() / big) ** p for n, m in means.items()}
        return direction, signs

    def _propose(self, state, schedule, direction, length):
        return schedule.with_coefficients({
            n: torch.where(direction[n] == 0, schedule[n],
               h.to_value(h.to_coordinate(schedule[n]) + length * h.outer_step * direction[n]))
            for n, h in state.hyperparameters.items()})

    def _search(self, state, objective, base, direction, seeds):
        if all((d == 0).all() for d in direction.values()):
            return base, 0.0
        best, best_length = base, 0.0
        length = state.length
        while length >= self.shortest:
            p = self._better(objective, self._propose(state, base.schedule, direction, length), seeds, best)
            if p is not None:
                best, best_length = p, length
                break
            length /= 2
        if best is not base and length == state.length:
            while length < self.longest:
                length *= 2
                p = self._better(objective, self._propose(state, base.schedule, direction, length), seeds, best)
                if p is None:
                    break
                best, best_length = p, length
        return best, best_length

    def _better(self, objective, schedule, seeds, best):
        done = []
        for k, s in enumerate(seeds):
            try:
                r = objective.rollout(schedule, s, keep=True)
            except DivergedError:
                return None
            done.append(r)
            if r.outcome.loss > best.rollouts[k].outcome.loss + 0.02:
                return None
        p = Point(schedule, done)
        return p if p.loss < best.loss else None
