"""Row 3: films of MovieLens-100K, described by genres, factors and general esteem.

Factors come from the ratings of all but the held-out users, by alternating ridge regressions. A user's
utility is the ridge regression of what he rated on the attributes of the films; training users give the
prior. Held-out users answer pair questions about films by their fitted utility with logistic noise.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from nongreedy.preference import Belief, Catalogue, Gaussian
from nongreedy.preference.strategies import Greedy, Information, Random, Relaxed
from nongreedy.protocols import generator, mix

from ._preference_rows import Rows, mean_error
from ._preference_users import User

FACTORS, HELD_OUT, QUESTIONS = 6, 200, 5
_RIDGE, _ROUNDS = 8.0, 12
STRATEGIES = {
    "relaxed": Relaxed(),
    "greedy": Greedy(),
    "greedy information": Greedy(Information()),
    "random": Random(),
}


@dataclass(frozen=True)
class Films:
    """Attributes of films, the prior of utilities, and utilities of users who are not in it."""

    items: Catalogue
    prior: Gaussian
    held_out: Tensor
    tau: float


def _read(directory: Path) -> tuple[Tensor, Tensor]:
    """Ratings, shape (users, films), NaN where there is none; genres, shape (films, genres)."""
    with (directory / "ml-100k.item").open(encoding="utf-8") as stream:
        films = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    number = {film[0]: k for k, film in enumerate(films)}
    genres = sorted({genre for film in films for genre in film[3].split()})
    marks = torch.tensor([[float(g in film[3].split()) for g in genres] for film in films])
    with (directory / "ml-100k.inter").open(encoding="utf-8") as stream:
        given = list(csv.reader(stream, delimiter="\t"))[1:]
    users = {user: k for k, user in enumerate(sorted({row[0] for row in given}, key=int))}
    ratings = torch.full((len(users), len(films)), torch.nan, dtype=torch.float64)
    for user, film, rating, *_ in given:
        if film in number:
            ratings[users[user], number[film]] = float(rating)
    return ratings, marks.double()


def _ridge(features: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """Of each row of targets, NaN where there is none: shape (rows, features)."""
    known = ~targets.isnan()
    weight = known.double()
    square = torch.einsum("rf,fd,fe->rde", weight, features, features)
    right = torch.where(known, targets, 0.0) @ features
    eye = penalty * torch.eye(features.shape[1]).double()
    return torch.linalg.solve(square + eye, right[..., None])[..., 0]


def loaded(directory: Path) -> Films:
    """From the files in recbole's wheel."""
    ratings, genres = _read(directory)
    mixed = torch.randperm(len(ratings), generator=generator(71))
    training, held_out = mixed[HELD_OUT:], mixed[:HELD_OUT]
    centred = ratings - ratings.nanmean(1, keepdim=True)
    known = (~centred[training].isnan()).double()
    esteem = centred[training].nan_to_num().sum(0) / (known.sum(0) + 5)
    films = torch.randn(len(genres), FACTORS, generator=generator(72), dtype=torch.float64)
    for _ in range(_ROUNDS):
        people = _ridge(films, centred[training] - esteem, _RIDGE)
        films = _ridge(people, (centred[training] - esteem).T, _RIDGE)
    columns = torch.cat([esteem[:, None], films, genres], 1)
    columns = columns[:, columns.std(0) > 0]
    points = (columns - columns.mean(0)) / columns.std(0)
    points, first = _different(points)
    utilities = _ridge(points, centred[:, first], _RIDGE)
    believed = utilities[training]
    centre = believed.mean(0)
    covariance = (believed - centre).T @ (believed - centre) / len(believed)
    floor = 1e-6 * torch.eye(len(centre)).double()
    items, tau = Catalogue(points), float((points @ believed.T).std(0).mean()) / 3
    return Films(items, Gaussian(centre, covariance + floor), utilities[held_out], tau)


def _different(points: Tensor) -> tuple[Tensor, Tensor]:
    """The first of each kind: a few films have the same genres and too few ratings to differ."""
    _, kinds = points.unique(dim=0, return_inverse=True)
    first = torch.full((int(kinds.max()) + 1,), len(points))
    first = first.scatter_reduce(0, kinds, torch.arange(len(points)), "amin").sort().values
    return points[first], first


def interview(films: Films, name: str, number: int, repeat: int = 0) -> dict[str, Any]:
    """Regret after 0, 1, ... answers, and seconds for each question; repeats have answers and samples of
    their own."""
    seed = mix(number, repeat) if repeat else number
    user = User(films.held_out[number], seed, films.tau)
    belief = Belief(films.prior, noise=films.tau, samples=512, seed=seed)
    regrets, seconds = [user.regret(films.items, belief)], list[float]()
    for question in range(QUESTIONS):
        started = time.perf_counter()
        query = STRATEGIES[name].choose(belief, films.items, 2, mix(seed, question))
        seconds.append(time.perf_counter() - started)
        belief = belief.updated(query, user.answers(query.points, question))
        regrets.append(user.regret(films.items, belief))
    return {"regrets": regrets, "seconds": seconds}


def films(rows: Rows, options: argparse.Namespace) -> list[str]:
    """The table, and ours less the others' over the same users and answers."""
    loaded_, after = loaded(options.data), dict[str, list[float]]()
    lines = [
        f"{len(loaded_.items)} films, {loaded_.prior.attributes} attributes, tau {loaded_.tau:.3f}",
        "strategy | regret before | after 3 | after 5 questions | seconds per question, median",
    ]
    for name in STRATEGIES:
        found = [
            [
                rows.get(
                    f"films|{name}|{k}" + (f"|{r}" if r else ""),
                    lambda k=k, name=name, r=r: interview(loaded_, name, k, r),
                )
                for r in range(options.repeats)
            ]
            for k in range(min(options.users, HELD_OUT))
        ]
        regrets = [[fmean(row["regrets"][n] for row in user) for n in (0, 3, 5)] for user in found]
        times = sorted(s for user in found for row in user for s in row["seconds"])
        cells = [mean_error(column) for column in zip(*regrets, strict=True)]
        lines.append(f"{name} | {' | '.join(cells)} | {times[len(times) // 2]:.3f}")
        after[name] = [user[-1] for user in regrets]
    for name in list(after)[1:]:
        gaps = [a - b for a, b in zip(after["relaxed"], after[name], strict=True)]
        lines.append(f"relaxed less {name} | | | {mean_error(gaps)} |")
    return lines
