"""The end of a search: the best schedules meet again on common fresh seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import torch

from ._errors import DivergedError
from ._hyperparameter import Hyperparameter
from ._objective import Evaluated, Objective
from ._outer import OuterRule
from ._result import Status
from ._schedule import Schedule

_FINAL = -1  # stream of the seeds on which the finalists meet


def select(
    rule: OuterRule,
    objective: Objective,
    status: Status,
    hyperparameters: Mapping[str, Hyperparameter],
) -> tuple[Evaluated, Status]:
    """The best evaluated schedule: the top few meet again on common fresh seeds."""
    # A loss on one seed may be luck: where others ran on two, it does not compete.
    enough = min(2, max(len(entry.losses) for entry in objective.evaluated.values()))
    serious = [entry for entry in objective.evaluated.values() if len(entry.losses) >= enough]
    ranked = sorted(serious, key=lambda entry: entry.loss)
    objective.reserve = 0.0
    if status is Status.interrupted:
        return ranked[0], status
    try:
        return rematch(rule, objective, ranked, hyperparameters), status
    except KeyboardInterrupt:
        return ranked[0], Status.interrupted


def rematch(
    rule: OuterRule,
    objective: Objective,
    ranked: Sequence[Evaluated],
    hyperparameters: Mapping[str, Hyperparameter],
) -> Evaluated:
    """Rounds on common fresh seeds, after which the worse half leaves, while the budget allows.

    With `rule.recombine`, those that stand after the first round are averaged, and the average wins
    unless one of them is better by more than the noise: near an optimum it is noise that ranks them.
    """
    budget = math.inf if objective.budget is None else objective.budget
    places = int(min(rule.finalists, (budget - objective.cost) / rule.finalist_seeds))
    standing, drawn = [Evaluated(entry.schedule) for entry in ranked[:places]], 0
    centre: Evaluated | None = None
    # Once an average has played a round, it settles what noise would between the last two.
    while len(standing) > (2 if centre and drawn > rule.finalist_seeds else 1):
        players = [*standing, *([centre] if centre else [])]
        if objective.cost + len(players) * rule.finalist_seeds > budget:
            break
        seeds = objective.seeds(_FINAL, drawn + rule.finalist_seeds)
        finished = [entry for entry in players if _finishes(objective, entry, seeds[drawn:])]
        first, drawn = drawn == 0, len(seeds)
        centre = next((entry for entry in finished if entry is centre), None)
        finished = [entry for entry in finished if entry is not centre]
        if not finished:  # all diverged: what stood before still stands
            break
        standing = sorted(finished, key=lambda entry: entry.loss)[: (len(finished) + 1) // 2]
        if first and rule.recombine and objective.cost + drawn <= budget:
            centre = average(standing, hyperparameters)
            if centre is not None and not _finishes(objective, centre, seeds):
                centre = None
    leader = standing[0] if standing and standing[0].losses else ranked[0]
    return leader if centre is None or _clearly_better(leader, centre) else centre


def average(
    entries: Sequence[Evaluated], hyperparameters: Mapping[str, Hyperparameter]
) -> Evaluated | None:
    """The mean, in the outer rule's coordinates, of the schedules on the leader's bases."""
    leader = entries[0].schedule
    alike = [entry.schedule for entry in entries if _same_bases(entry.schedule, leader)]
    if len(alike) < 2:
        return None
    changed = {
        name: hyper.to_value(torch.stack([hyper.to_coordinate(s[name]) for s in alike]).mean(0))
        for name, hyper in hyperparameters.items()
    }
    return Evaluated(leader.with_coefficients(changed))


def _same_bases(one: Schedule, other: Schedule) -> bool:
    def bases(schedule: Schedule) -> list[tuple[str, int]]:
        return [(curve.basis.kind, len(curve.coefficients)) for curve in schedule.curves.values()]

    return bases(one) == bases(other)


def _clearly_better(leader: Evaluated, centre: Evaluated) -> bool:
    """By more than one standard error over the seeds on which both ran."""
    gains = [centre.losses[seed] - loss for seed, loss in leader.losses.items()]
    error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    return statistics.fmean(gains) > error


def _finishes(objective: Objective, entry: Evaluated, seeds: Sequence[int]) -> bool:
    """Run the schedule on these seeds too; a finalist that diverges is out."""
    try:
        for seed in seeds:
            outcome = objective.rollout(entry.schedule, seed).outcome
            entry.losses[seed], entry.accuracies[seed] = outcome.loss, outcome.accuracy
    except DivergedError:
        return False
    return True
