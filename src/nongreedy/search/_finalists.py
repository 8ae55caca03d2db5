"""The end of a search: the best schedules meet again on common fresh seeds."""

from ..errors import DivergedError
from ._objective import Evaluated, Objective
from ._result import Status
from .rules import OuterRule

_FINAL = -1  # stream of the seeds on which the finalists meet


def select(rule: OuterRule, objective: Objective, status: Status) -> tuple[Evaluated, Status]:
    """The best evaluated schedule: the top few meet again on common fresh seeds."""
    # A loss on one seed may be luck: where others ran on two, it does not compete.
    entries = objective.evaluated.values()
    least = min(2, max(len(entry.losses) for entry in entries))
    ranked = sorted((e for e in entries if len(e.losses) >= least), key=lambda entry: entry.loss)
    objective.budget.release()
    if status is Status.interrupted:
        return ranked[0], status
    try:
        return rematch(rule, objective, ranked), status
    except KeyboardInterrupt:
        return ranked[0], Status.interrupted


def rematch(rule: OuterRule, objective: Objective, ranked: list[Evaluated]) -> Evaluated:
    """Rounds on common fresh seeds, after which the worse half leaves, while the budget allows."""
    budget = objective.budget
    places = int(min(rule.finalists, budget.left / rule.finalist_seeds))
    standing, drawn = [Evaluated(entry.schedule) for entry in ranked[:places]], 0
    while len(standing) > 1 and budget.affords(len(standing) * rule.finalist_seeds):
        seeds = objective.seeds(_FINAL, drawn + rule.finalist_seeds)[drawn:]
        drawn += len(seeds)
        finished = [entry for entry in standing if _finishes(objective, entry, seeds)]
        if not finished:  # all diverged: what stood before still stands
            break
        standing = sorted(finished, key=lambda entry: entry.loss)[: (len(finished) + 1) // 2]
    return standing[0] if standing and standing[0].losses else ranked[0]


def _finishes(objective: Objective, entry: Evaluated, seeds: list[int]) -> bool:
    """Run the schedule on these seeds too; a finalist that diverges is out."""
    try:
        for seed in seeds:
            entry.add(seed, objective.rollout(entry.schedule, seed).outcome)
    except DivergedError:
        return False
    return True
