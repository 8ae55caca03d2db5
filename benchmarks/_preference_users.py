"""Users drawn from the prior who answer with noise: how good is what is recommended to them?"""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from nongreedy.preference import (
    Answer,
    Belief,
    Catalogue,
    Gaussian,
    KnownNoise,
    Logistic,
    Noise,
    UncertainNoise,
)
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
    "prior around the right one": UncertainNoise(TAU),
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


@functools.cache
def _everybody(items: Catalogue) -> tuple[Tensor, Tensor]:
    """Utilities of all who may be asked, and of each what the best item is worth."""
    shape = (100_000, items.points.shape[1])
    utilities = torch.randn(*shape, generator=generator(303), dtype=torch.float64)
    return utilities, items.best(utilities)[0]


def expected_regret(items: Catalogue, answers: Sequence[Answer], item: int) -> float:
    """What whoever gives these answers loses by this item, on average over all users and the true noise.

    Its mean is that of the regret, without the scatter of users who answer alike.
    """
    utilities, best = _everybody(items)
    scale, logs = torch.tensor(TAU).double(), torch.zeros_like(best)
    for answer in answers:
        chances = Logistic().probabilities(answer.query.points @ utilities.T, scale)
        logs = logs + chances[answer.choice].log()
    return float(torch.softmax(logs, 0) @ (best - utilities @ items.points[item]))


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
    item = int(items.best(belief.mean)[1])
    return {
        "regrets": regrets, "covered": covered, "surprise": surprise(predicted),
        "expected": expected_regret(items, belief.answers, item),
    }  # fmt: skip


def dialogues(rows: Rows, options: argparse.Namespace) -> list[str]:
    """EV5: regret after five questions, by strategy."""
    lines = ["strategy | regret before | after 5 questions | in the 90 % region"]
    for name, strategy in STRATEGIES.items():
        found = _users(rows, options, f"dialogue|{name}", strategy, NOISES["right"], 5)
        lines.append(f"{name} | {_summary(found)}")
    return lines


def noises(rows: Rows, options: argparse.Namespace) -> list[str]:
    """Regret after ten questions under wrong noise, and how often the answers are said to contradict."""
    lines = [
        "noise | regret before | after 10 questions | in the 90 % region | warned | expected regret | "
        "times the right one's"
    ]
    right = list[float]()
    for name, noise in NOISES.items():
        found = _users(rows, options, f"noise|{name}", STRATEGIES["relaxed"], noise, 10)
        warned = sum(row["surprise"] > ALARM for row in found) / len(found)
        expected = [row["expected"] for row in found]
        right = right or expected
        shares = f"{mean_error(expected)} | {ratio(expected, right)}"
        lines.append(f"{name} | {_summary(found)} | {warned:.0%} | {shares}")
    return lines


def ratio(values: Sequence[float], others: Sequence[float]) -> str:
    """Of the means over the same users, with its standard error."""
    share = fmean(values) / fmean(others)
    left = [a - share * b for a, b in zip(values, others, strict=True)]
    return f"{share:.2f} ± {stdev(left) / math.sqrt(len(left)) / fmean(others):.2f}"


def _users(
    rows: Rows,
    options: argparse.Namespace,
    key: str,
    strategy: Strategy,
    noise: Noise,
    questions: int,
) -> list[dict[str, Any]]:
    items = items_on_a_sphere(200, 4)
    return [
        rows.get(
            f"{key}|{k}",
            lambda k=k: dialogue(User.drawn(k, 4), items, strategy, noise, questions, k),
        )
        for k in range(options.first, options.first + options.users)
    ]


def _summary(found: Sequence[Mapping[str, Any]]) -> str:
    before, after = ([row["regrets"][k] for row in found] for k in (0, -1))
    covered = sum(row["covered"] for row in found) / len(found)
    return f"{mean_error(before)} | {mean_error(after)} | {covered:.0%}"
