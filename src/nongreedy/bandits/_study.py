"""Some policies on planted problems, side by side: regret curves and their slopes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..schedules import identity, spelled
from ._play import Played, play
from ._rates import Slope, slope
from .policies import Policy
from .problems import Bandit


@dataclass(frozen=True)
class Course:
    """What a policy came to on problems of several seeds.

    Attributes:
        name: Of the policy, for people.
        policy: Its settings in a line.
        plays: Places of the curve, shape (m,).
        regret: Summed regret at the places, shape (seeds, m).
        finals: Mean reward of the last choice as a share of the best, of each seed.
    """

    name: str
    policy: str
    plays: Tensor
    regret: Tensor
    finals: tuple[float, ...]

    @property
    def mean(self) -> Tensor:
        return self.regret.mean(0)

    @property
    def standard_error(self) -> Tensor:
        return self.regret.std(0) / len(self.regret) ** 0.5

    def slope(self, first: float = 0.1) -> Slope:
        """Exponent of the regret in the plays, from this share of them to the end."""
        late = self.plays >= first * self.plays[-1]
        return slope(self.plays[late], self.regret[:, late])

    def to_json(self) -> dict[str, Any]:
        last = self.slope()
        return {
            "name": self.name, "policy": self.policy, "plays": self.plays.tolist(),
            "regret_mean": self.mean.tolist(), "regret_standard_error": self.standard_error.tolist(),
            "regret_at_end": self.regret[:, -1].tolist(), "final": list(self.finals),
            "slope": [last.value, last.low, last.high],
        }  # fmt: skip


def race(
    make: Callable[[int], Bandit],
    policies: Mapping[str, Policy],
    rounds: int,
    seeds: Sequence[int],
    started: Callable[[str], None] = lambda name: None,
) -> list[Course]:
    """Let each policy play the planted problem of every seed.

    Args:
        make: Seed -> problem.
        policies: Name -> policy.
        rounds: Plays of each.
        seeds: Two at least.
        started: Called with the name of each as it begins.

    Example:
        >>> from nongreedy import bandits
        >>> make = lambda seed: bandits.QuadraticBandit.planted(4, [1.0], seed)
        >>> course, = race(make, {"random": bandits.Uniform()}, 1000, [0, 1])
        >>> round(course.slope().value, 1)
        1.0
    """
    courses = []
    for name, policy in policies.items():
        started(name)
        played: list[Played] = [play(make(seed), policy, rounds, seed) for seed in seeds]
        regret = torch.stack([each.regret for each in played])
        finals = tuple(each.final for each in played)
        courses.append(Course(name, spelled(identity(policy)), played[0].plays, regret, finals))
    return courses
