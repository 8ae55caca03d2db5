"""Users drawn from the prior who answer with noise: how good is what is recommended to them?"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nongreedy.preference import Belief, Catalogue, Gaussian, KnownNoise, Noise, UncertainNoise
from nongreedy.preference._surprise import ALARM, surprise
from nongreedy.preference.strategies import (
    BestOfSlate,
    Greedy,
    Information,
    Random,
    Relaxed,
    Strategy,
    Thompson,
    TopK,
)
from nongreedy.protocols import generator, mix

from ._preference_rows import Rows, mean_error

STRATEGIES: Mapping[str, Strategy] = {
    "relaxed": Relaxed(),
    "greedy": Greedy(),
    "greedy EUBO": Greedy(BestOfSlate()),
    "greedy information": Greedy(Information()),
    "Thompson": Thompson(),
    "top by mean": TopK(),
    "random": Random(),
}
TAU = 0.2
NOISES: Mapping[str, Noise] = {
    "right": KnownNoise(TAU),
    "three times too large": KnownNoise(3 * TAU),
    "three times too small": KnownNoise(TAU / 3),
    "prior around three times too large": UncertainNoise(3 * TAU),
    "prior around three times too small": UncertainNoise(TAU / 3),
}


@dataclass(frozen=True)
class User:
    """A utility, and answers that are functions of (seed, question)."""

    utility: Tensor
    seed: int
    tau: float = TAU

    @classmethod
    def drawn(cls, number: int, attributes: int) -> User:
        source = generator(number, 301)
        return cls(torch.randn(attributes, generator=source, dtype=torch.float64), number)

    def answers(self, points: Tensor, question: int) -> int:
        source = generator(self.seed, 302, question)
        gumbel = -torch.rand(len(points), generator=source, dtype=torch.float64).log().neg().log()
        return int((points @ self.utility / self.tau + gumbel).argmax())

    def regret(self, items: Catalogue, belief: Belief) -> float:
        """Of what the belief recommends."""
        values = items.points @ self.utility
        return float(values.max() - values[int(items.best(belief.mean)[1])])


def items_on_a_sphere(count: int, attributes: int) -> Catalogue:
    """Random items of norm 1."""
    points = torch.randn(count, attributes, generator=generator(300), dtype=torch.float64)
    return Catalogue(points / points.norm(dim=1, keepdim=True))


def dialogue(
    user: User,
    items: Catalogue,
    strategy: Strategy,
    noise: Noise,
    questions: int,
    seed: int,
) -> dict[str, object]:
    """Regrets after 0, 1, ... answers, whether the region of 90 % holds the truth, and the surprise."""
    belief = Belief(Gaussian.standard(len(user.utility)), noise=noise, samples=512, seed=seed)
    regrets, predicted = [user.regret(items, belief)], list[tuple[Tensor, int]]()
    for question in range(questions):
        query = strategy.choose(belief, items, 2, mix(seed, question))
        choice = user.answers(query.points, question)
        predicted.append((belief.expected(query), choice))
        belief = belief.updated(query, choice)
        regrets.append(user.regret(items, belief))
    covered = belief.covers(user.utility, 0.9)
    return {"regrets": regrets, "covered": covered, "surprise": surprise(predicted)}


def dialogues(rows: Rows, options: argparse.Namespace) -> list[str]:
    """EV5: regret after five questions, by strategy."""
    lines = ["strategy | regret before | after 5 questions | in the 90 % region"]
    for name, strategy in STRATEGIES.items():
        found = _users(rows, options.users, f"dialogue|{name}", strategy, NOISES["right"], 5)
        lines.append(f"{name} | {_summary(found)}")
    return lines


def noises(rows: Rows, options: argparse.Namespace) -> list[str]:
    """Regret after ten questions under wrong noise, and how often the answers are said to contradict."""
    lines = ["noise | regret before | after 10 questions | in the 90 % region | warned"]
    for name, noise in NOISES.items():
        found = _users(rows, options.users, f"noise|{name}", STRATEGIES["relaxed"], noise, 10)
        warned = sum(row["surprise"] > ALARM for row in found) / len(found)
        lines.append(f"{name} | {_summary(found)} | {warned:.0%}")
    return lines


def _users(
    rows: Rows, count: int, key: str, strategy: Strategy, noise: Noise, questions: int
) -> list[dict[str, Any]]:
    items = items_on_a_sphere(200, 4)
    return [
        rows.get(
            f"{key}|{k}",
            lambda k=k: dialogue(User.drawn(k, 4), items, strategy, noise, questions, k),
        )
        for k in range(count)
    ]


def _summary(found: Sequence[Mapping[str, Any]]) -> str:
    before, after = ([row["regrets"][k] for row in found] for k in (0, -1))
    covered = sum(row["covered"] for row in found) / len(found)
    return f"{mean_error(before)} | {mean_error(after)} | {covered:.0%}"
