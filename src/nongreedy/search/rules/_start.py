"""The first outer step: which scale of the learning rate, and which way of training, is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from ...engines import Problem, Rollout
from ...errors import DivergedError
from ...schedules import Hyperparameter, Schedule
from .. import Ask, Objective
from ._bracket import Bracket
from ._observation import Observation
from ._space import Space
from ._strengths import strengthened

RATE = "learning_rate"
_SHARE, _FEWEST, _MOST = 0.2, 5, 12  # of the budget, for the first bracket, in plain runs
_CLOSE = 0.02  # relative: two ways of training that are nearer meet again
_TRAINED = 0.01  # relative: a run that trains lowers the loss of the first weights by this
_RICH = 30.0  # plain runs of a budget that pays for that


@final
@dataclass
class Way:
    """A way of training: runs of one problem at several scales of its learning rate.

    Args:
        trained: Below this loss a run has trained: more than that of the first weights.
        most: Plain runs to spend.
        earlier: Other ways.

    Attributes:
        observations: What its runs told.
        schedule, loss: Of the best one.
        rollout: Its states, which no more than one of several ways holds; None of the others.
        losses: By decades from the start's learning rate.
    """

    problem: Problem
    objective: Objective
    seed: int
    trained: float
    most: int
    earlier: Sequence[Way] = ()
    observations: list[Observation] = field(default_factory=list)
    schedule: Schedule | None = None
    loss: float = math.inf
    rollout: Rollout | None = None
    _error: DivergedError | None = None

    def __post_init__(self) -> None:
        self.space = Space(self.problem.moving, self.problem.initial)
        self._known = dict[tuple[object, ...], float]()
        self._rates = [n for n in self.problem.learned if n.partition("[")[0] == RATE]
        bracket = Bracket(
            self._run, self.most if self._rates else 1, self.trained, ahead=self._ahead
        )
        bracket.find()
        self.losses = bracket.losses
        if self.schedule is None:
            assert self._error is not None
            raise self._error

    @property
    def runs(self) -> int:
        """Scales that were run: beyond a bound, several are one."""
        return len(self._known)

    @property
    def peak(self) -> float:
        """The largest learning rate of the best schedule; NaN where none is learned."""
        assert self.schedule is not None
        rates = [float(self.schedule[name].max()) for name in self._rates]
        return max(rates, default=math.nan)

    def at(self, decades: float) -> Schedule:
        """The start with all learning rates higher by so many decades, within their bounds."""
        start = self.problem.initial
        hypers: dict[str, Hyperparameter] = self.problem.learned
        moved = {n: hypers[n].clip(start[n] * 10.0**decades) for n in self._rates}
        return start.with_coefficients(moved)

    def _ahead(self, place: float, likely: Sequence[float]) -> None:
        first, *others = (Ask(self.at(one), self.seed) for one in (place, *likely))
        if first.schedule.identity not in self._known:
            self.objective.ahead([first], others)

    def _run(self, decades: float) -> float:
        return self.loss_of(self.at(decades))

    def loss_of(self, schedule: Schedule) -> float:
        """A run of a schedule of this way, which is the way's from now on if it is the best so far."""
        if schedule.identity in self._known:  # within bounds it is the same as a nearer one
            return self._known[schedule.identity]
        self._known[schedule.identity] = loss = self._loss(schedule)
        return loss

    def _loss(self, schedule: Schedule) -> float:
        try:
            rollout = self.objective.rollout(schedule, self.seed, keep=True)
        except DivergedError as error:
            self._error = error
            self.observations.append(Observation(self.space.vector(schedule), self.seed, math.inf))
            return math.inf
        loss = rollout.outcome.loss
        self.observations.append(Observation(self.space.vector(schedule), self.seed, loss))
        if self.schedule is None or loss < self.loss:
            self.schedule, self.loss = schedule, loss
            self._hold(rollout)
        return loss

    def _hold(self, rollout: Rollout) -> None:
        """States are large: those of the best run so far, of all ways, and no others."""
        self.rollout = None
        if all(self.loss < way.loss for way in self.earlier):
            for way in self.earlier:
                way.rollout = None
            self.rollout = rollout

    @property
    def second(self) -> Schedule | None:
        """The second best scale."""
        rows = sorted(self.losses.items(), key=lambda row: row[1])
        known = (self.at(place) for place, loss in rows if math.isfinite(loss))
        return next((schedule for schedule in known if schedule != self.schedule), None)

    def again(self, seed: int) -> float:
        """The loss of the best schedule on another seed."""
        assert self.schedule is not None
        try:
            loss = self.objective.rollout(self.schedule, seed).outcome.loss
        except DivergedError:
            loss = math.inf
        self.observations.append(Observation(self.space.vector(self.schedule), seed, loss))
        return loss


def best_way(objective: Objective, seed: int, other: int) -> tuple[Way, list[Way]]:
    """Every way of training on one seed; two that are close meet on another one."""
    limit = objective.budget.limit
    most = _MOST if math.isinf(limit) else max(_FEWEST, min(_MOST, round(_SHARE * limit)))
    most = max(1, int(min(most, objective.budget.left)))  # so that there is a start to return
    untrained = objective.untrained(objective.problem.initial, seed)  # which all ways begin with
    trained = untrained - _TRAINED * abs(untrained) if math.isfinite(untrained) else math.inf
    ways, failed = list[Way](), list[DivergedError]()
    for index, problem in enumerate(objective.problems):
        runs = most if index == 0 else _few(most)
        if index and not objective.budget.affords(runs + 1):  # and the final
            break
        try:
            ways.append(Way(problem, objective, seed, trained, runs, tuple(ways)))
        except DivergedError as error:
            failed.append(error)
    if not ways:
        raise failed[0]
    ways.sort(key=lambda way: way.loss)
    if len(ways) > 1 and limit >= _RICH and _near(ways[:2]) and objective.budget.affords(2):
        objective.ahead(Ask(way.schedule, other) for way in ways[:2] if way.schedule is not None)
        means = {id(way): (way.loss + way.again(other)) / 2 for way in ways[:2]}
        ways[:2] = sorted(ways[:2], key=lambda way: means[id(way)])
    best = ways[0]
    if limit >= _RICH and best.schedule is not None:
        strengthened(
            best.problem, best.schedule, best.loss, best.loss_of, lambda: objective.budget.affords(1)
        )  # fmt: skip
    return best, ways


def _few(most: int) -> int:
    return min(4, most)


def _near(ways: Sequence[Way]) -> bool:
    return ways[1].loss - ways[0].loss < _CLOSE * abs(ways[0].loss)
