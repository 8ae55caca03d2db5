"""The end of a search: the best schedules meet again on common fresh seeds."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Iterator, Sequence

from ..errors import DivergedError
from ..schedules import Schedule
from ._budget import BudgetSpentError
from ._evaluated import Ask, Evaluated
from ._gain import UNKNOWN, Gain
from ._knockout import knockout
from ._objective import Objective
from ._result import Status
from .rules import OuterRule, OuterState

_FINAL = -1  # stream of the seeds on which the finalists meet
_MOST = 8  # of these seeds, where a fallback has to be beaten
_BEATEN = 0.5  # standard errors by which
_ONE_SEED = 0.005  # relative standard error of a difference on one seed
Chosen = tuple[Evaluated, Status, Gain]


def select(rule: OuterRule, state: OuterState, objective: Objective, status: Status) -> Chosen:
    """The best evaluated schedule, and its gain over the rule's fallback, unknown where it has none."""
    fallback, contenders = rule.fallback(state), rule.contenders(state)
    objective.budget.release()
    if fallback is None:
        return *_without_fallback(rule, objective, status), UNKNOWN
    if status is Status.interrupted:
        return objective.evaluated[state.schedule.identity], status, UNKNOWN
    try:
        return _against(fallback, contenders, rule, objective, status)
    except KeyboardInterrupt:
        return objective.evaluated[state.schedule.identity], Status.interrupted, UNKNOWN


def _against(
    fallback: Schedule,
    contenders: Sequence[Schedule],
    rule: OuterRule,
    objective: Objective,
    status: Status,
) -> Chosen:
    """Rounds of all that stand and the fallback, which no round removes: whoever beats it wins."""
    # Of two rounds at least: what one seed says of many is mostly luck.
    places = max(int(min(objective.budget.left, 1e6) / rule.finalist_seeds) - 1, 1)
    standing, start = [Evaluated(s) for s in contenders[:places]], Evaluated(fallback)
    hopeless = 0  # seeds on which everything diverged, which say nothing of who is better
    for index in range(_MOST):
        field = sum(objective.price(entry.schedule) for entry in (start, *standing))
        if not standing or not objective.budget.affords(field):
            break
        seed = objective.seeds(_FINAL, index + 1)[index:]
        objective.ahead(Ask(entry.schedule, seed[0]) for entry in (start, *standing))
        try:
            began = _finishes(objective, start, seed)
            finished = [entry for entry in standing if _finishes(objective, entry, seed)]
        except BudgetSpentError:  # the time is over
            break
        if not began and not finished:
            hopeless += 1
            continue
        start.losses.setdefault(seed[0], math.inf)
        standing = sorted(finished, key=_by_loss)
        if (index + 1) % rule.finalist_seeds == 0:
            standing = standing[: (len(standing) + 1) // 2]
    best = standing[0] if standing and standing[0].losses else None
    if best is None:
        known = objective.evaluated[fallback.identity]
        gain = Gain(0.0, math.nan, 0, math.nan, hopeless)
        return start if start.losses else known, status, gain
    gain = _gain(best, start, hopeless)
    if gain.diverged or gain.loss > _BEATEN * _error(gain):
        return best, status, gain
    return start, status, Gain(0.0, gain.standard_error, gain.seeds, gain.fallback, hopeless)


def _by_loss(entry: Evaluated) -> float:
    return entry.loss


def _gain(best: Evaluated, start: Evaluated, hopeless: int) -> Gain:
    differences = [start.losses[seed] - loss for seed, loss in best.losses.items()]
    count, error = len(differences), math.nan
    diverged = sum(map(math.isinf, differences))
    if count > 1 and not diverged:
        error = statistics.stdev(differences) / math.sqrt(count)
    return Gain(statistics.fmean(differences), error, count, start.loss, hopeless, diverged)


def _error(gain: Gain) -> float:
    return (
        _ONE_SEED * abs(gain.fallback) if math.isnan(gain.standard_error) else gain.standard_error
    )


def _without_fallback(
    rule: OuterRule, objective: Objective, status: Status
) -> tuple[Evaluated, Status]:
    # A loss on one seed may be luck: where others ran on two, it does not compete.
    entries = objective.evaluated.values()
    least = min(2, max(len(entry.losses) for entry in entries))
    ranked = sorted((e for e in entries if len(e.losses) >= least), key=lambda entry: entry.loss)
    if status is Status.interrupted:
        return ranked[0], status
    try:
        return rematch(rule, objective, ranked), status
    except KeyboardInterrupt:
        return ranked[0], Status.interrupted


def rematch(rule: OuterRule, objective: Objective, ranked: list[Evaluated]) -> Evaluated:
    """Rounds on common fresh seeds, after which the worse half leaves, while the budget allows."""
    places = int(min(rule.finalists, objective.budget.left / rule.finalist_seeds))
    standing, drawn = [Evaluated(entry.schedule) for entry in ranked[:places]], 0

    def rounds() -> Iterator[list[int]]:
        nonlocal drawn
        while objective.budget.affords(len(standing) * rule.finalist_seeds):
            seeds = objective.seeds(_FINAL, drawn + rule.finalist_seeds)[drawn:]
            drawn += len(seeds)
            objective.ahead(Ask(entry.schedule, seed) for entry in standing for seed in seeds)
            yield seeds

    def judge(entry: Evaluated, seed: int) -> float:
        return entry.losses[seed] if _finishes(objective, entry, [seed]) else math.inf

    with contextlib.suppress(BudgetSpentError):  # the time is over
        for left in knockout(standing, judge, rounds()):
            standing = left
    return standing[0] if standing and standing[0].losses else ranked[0]


def _finishes(objective: Objective, entry: Evaluated, seeds: list[int]) -> bool:
    """Run the schedule on these seeds too; a finalist that diverges is out."""
    try:
        for seed in seeds:
            entry.add(seed, objective.rollout(entry.schedule, seed).outcome)
    except DivergedError:
        return False
    return True
