"""Row 2: people who exist. Which of the questions that they answered should have come first?

A population belief is fitted to half of the respondents. For the others, questions are taken from those
that they answered, in an order of each strategy's own. The recommended item is one of all the alternatives
that they were shown. Their true utility is unknown: regret is judged by the belief after all their answers.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nongreedy.preference import Belief, Catalogue, Gaussian, Query
from nongreedy.preference.strategies import (
    BestOfSlate,
    Information,
    Listed,
    Strategy,
)
from nongreedy.protocols import generator

from ._preference_population import population
from ._preference_rows import Rows, mean_error

STRATEGIES: Mapping[str, Callable[[list[Query]], Strategy] | None] = {
    "ours": Listed,
    "exact EVOI": lambda queries: Listed(queries, instead=None),  # ties go to the order of the list
    "information": lambda queries: Listed(queries, Information()),
    "EUBO": lambda queries: Listed(queries, BestOfSlate()),
    "random order": None,
}


@dataclass(frozen=True)
class Respondent:
    """Questions that were answered: attributes of the alternatives, and the slot that was chosen."""

    questions: list[Tensor]
    choices: list[int]


def _rows_of(file: Path) -> list[dict[str, str]]:
    with gzip.open(file, "rt") as stream:
        return list(csv.DictReader(stream))


def swissmetro(directory: Path) -> list[Respondent]:
    """Train, Swissmetro, car: constants of train and car, time and cost in hundreds, headway. Commuters and
    business trips, as is usual."""
    people = dict[str, Respondent]()
    for row in _rows_of(directory / "swissmetro.csv.gz"):
        if row["PURPOSE"] not in "13" or row["CHOICE"] == "0":
            continue
        free = row["GA"] == "1"  # a season ticket
        number = {k: float(v) for k, v in row.items() if k.endswith(("_TT", "_CO", "_HE"))}
        slots, names = [], []
        for k, name in enumerate(("TRAIN", "SM", "CAR")):
            if row[f"{name}_AV"] == "0":
                continue
            cost = 0.0 if free and name != "CAR" else number[f"{name}_CO"] / 100
            headway = number.get(f"{name}_HE", 0.0) / 100
            constants = [float(name == "TRAIN"), float(name == "CAR")]
            slots.append([*constants, number[f"{name}_TT"] / 100, cost, headway])
            names.append(str(k + 1))
        person = people.setdefault(row["ID"], Respondent([], []))
        person.questions.append(torch.tensor(slots).double())
        person.choices.append(names.index(row["CHOICE"]))
    return list(people.values())


def electricity(directory: Path) -> list[Respondent]:
    """Four suppliers: price, length of contract, local, well known, by time of day, by season."""
    people, situations = dict[str, Respondent](), dict[str, list[dict[str, str]]]()
    for row in _rows_of(directory / "electricity.csv.gz"):
        situations.setdefault(row["chid"], []).append(row)
    for rows in situations.values():
        person = people.setdefault(rows[0]["id"], Respondent([], []))
        names = ("pf", "cl", "loc", "wk", "tod", "seas")
        slots = [[float(row[name]) for name in names] for row in rows]
        person.questions.append(torch.tensor(slots).double())
        person.choices.append([row["choice"] for row in rows].index("TRUE"))
    return list(people.values())


TABLES: Mapping[str, Callable[[Path], list[Respondent]]] = {
    "swissmetro": swissmetro,
    "electricity": electricity,
}


def fitted(people: list[Respondent]) -> Gaussian:
    """The population that these respondents are of."""
    most = max(len(person.questions) for person in people)
    slots = max(len(q) for person in people for q in person.questions)
    shape = (len(people), most, slots, people[0].questions[0].shape[1])
    questions, asked = (
        torch.full(shape, torch.nan).double(),
        torch.zeros(shape[:2], dtype=torch.bool),
    )
    questions[:, :, 0] = 0  # of a question that was not asked
    choices = torch.zeros(shape[:2], dtype=torch.long)
    for k, person in enumerate(people):
        for t, (question, choice) in enumerate(zip(person.questions, person.choices, strict=True)):
            questions[k, t, : len(question)] = question
            choices[k, t], asked[k, t] = choice, True
    return population(questions, choices, asked)


def dialogues(
    person: Respondent, prior: Gaussian, number: int, items: Catalogue
) -> Iterator[tuple[str, list[int], int]]:
    """After 0, 1, ... answers, by each strategy: its name, which questions it asked, and which item it
    recommends."""
    queries = [Query(points) for points in person.questions]
    for name, make in STRATEGIES.items():
        belief, asked = Belief(prior, noise=1.0, samples=512, seed=number), list[int]()
        order = torch.randperm(len(queries), generator=generator(number, 55)).tolist()
        strategy = make and make(queries)
        while True:
            yield name, list(asked), int(items.best(belief.mean)[1])
            if len(asked) == len(queries):
                break
            place = order[len(asked)]
            if strategy is not None:
                query = strategy.choose(belief, items, 2, number)
                place = next(k for k, each in enumerate(queries) if each is query)
            asked.append(place)
            belief = belief.updated(queries[place], person.choices[place])


def interviewed(person: Respondent, prior: Gaussian, number: int) -> dict[str, list[float]]:
    """Regret after 0, 1, ... answers, for each strategy."""
    items = Catalogue(torch.cat(person.questions).unique(dim=0))
    whole = Belief(prior, noise=1.0, samples=2048, seed=number + 10_000)
    for points, choice in zip(person.questions, person.choices, strict=True):
        whole = whole.updated(Query(points), choice)
    worth, found = items.points @ whole.mean, dict[str, list[float]]()
    for name, _, item in dialogues(person, prior, number, items):
        found.setdefault(name, []).append(float(worth.max() - worth[item]))
    return found


def invented(person: Respondent, prior: Gaussian, number: int) -> dict[str, list[float]]:
    """The regret to be expected after 0, 1, ... answers of somebody whom the belief describes.

    Asked what a respondent was, and answering by a utility of the population: so the belief is right, and
    its own expectation after the answers, by other samples, is the true one.
    """
    source = generator(number, 57)
    utility = prior.mean + prior.factor @ torch.randn(prior.attributes, generator=source).double()
    choices = list[int]()
    for points in person.questions:
        gumbel = -torch.rand(len(points), generator=source).double().log().neg().log()
        choices.append(int((points @ utility + gumbel).argmax()))
    person = Respondent(person.questions, choices)
    items = Catalogue(torch.cat(person.questions).unique(dim=0))
    fresh = Belief(prior, noise=1.0, samples=8192, seed=number + 30_000)
    told = [
        fresh.probabilities(Query(points))[choice].log()
        for points, choice in zip(person.questions, choices, strict=True)
    ]
    best, found = items.best(fresh.utilities)[0], dict[str, list[float]]()
    for name, asked, item in dialogues(person, prior, number, items):
        logs = sum((told[k] for k in asked), torch.zeros_like(best))
        lost = torch.softmax(logs, 0) @ (best - fresh.utilities @ items.points[item])
        found.setdefault(name, []).append(float(lost))
    return found


def in_hindsight(person: Respondent, prior: Gaussian, number: int, most: int = 5) -> list[float]:
    """Regret after the best set of 0, 1, ... answers, had one known them all: no order does better."""
    fresh = Belief(prior, noise=1.0, samples=4096, seed=number + 20_000)
    whole = Belief(prior, noise=1.0, samples=2048, seed=number + 10_000)
    logs, items = list[Tensor](), Catalogue(torch.cat(person.questions).unique(dim=0))
    for points, choice in zip(person.questions, person.choices, strict=True):
        logs.append(fresh.probabilities(Query(points))[choice].log())
        whole = whole.updated(Query(points), choice)
    worth, told, found = items.points @ whole.mean, torch.stack(logs), list[float]()
    for count in range(min(most, len(logs)) + 1):
        sets = torch.tensor(list(itertools.combinations(range(len(logs)), count))).long()
        means = torch.softmax(told[sets].sum(1), -1) @ fresh.utilities
        found.append(float((worth.max() - worth[items.best(means)[1]]).min()))
    return found


def paired(found: list[dict[str, list[float]]], other: str, shown: list[int]) -> str:
    """Ours less another strategy's regret, as a share of the other's, with the standard error over
    respondents."""
    cells = list[str]()
    for n in shown[1:]:
        gaps = [row["ours"][n] - row[other][n] for row in found]
        mean = statistics.fmean(row[other][n] for row in found)
        error = statistics.stdev(gaps) / math.sqrt(len(gaps))
        cells.append(f"{statistics.fmean(gaps) / mean:+.0%} ± {error / mean:.0%}")
    return f"ours less {other} | - | " + " | ".join(cells)


def distinct(person: Respondent) -> bool:
    """Whether no alternative is offered twice in a question, and none asked twice: a few are."""
    alike = any(len(q.unique(dim=0)) < len(q) for q in person.questions)
    same = len({tuple(q.flatten().tolist()) for q in person.questions}) < len(person.questions)
    return not alike and not same and min(map(len, person.questions)) > 1


def _of_each(
    rows: Rows, label: str, compute: Callable[..., Any], asked: dict[int, Respondent], prior: Any
) -> list[Any]:
    return [
        rows.get(f"{label}|{k}", lambda k=k, person=person: compute(person, prior, k))
        for k, person in asked.items()
    ]


def people(rows: Rows, options: argparse.Namespace) -> list[str]:
    """The table of people, and that of respondents whom the belief describes."""
    lines = list[str]()
    for name, read in TABLES.items():
        everyone = [person for person in read(options.data) if distinct(person)]
        mixed = torch.randperm(len(everyone), generator=generator(56)).tolist()
        half = len(mixed) // 2
        prior: Any = rows.get(
            f"population|{name}",
            lambda mixed=mixed, half=half, everyone=everyone: fitted(
                [everyone[k] for k in mixed[:half]]
            ).to_json(),
        )
        believed = Gaussian(prior["mean"], prior["covariance"])
        asked = {k: everyone[k] for k in mixed[half:][: options.users]}
        found = _of_each(rows, f"person|{name}", interviewed, asked, believed)
        made = _of_each(rows, f"invented|{name}", invented, asked, believed)
        best = _of_each(rows, f"hindsight|{name}", in_hindsight, asked, believed)
        shown = _shown(found)
        lines += _table(name, "respondents", found, shown)
        cells = [mean_error([row[n] for row in best]) for n in shown if n < len(best[0])]
        lines.append("best set in hindsight | " + " | ".join(cells))
        lines += _table(name, "invented", made, shown)
    return lines


def _shown(found: list[dict[str, list[float]]]) -> list[int]:
    most = min(len(row["ours"]) for row in found) - 1
    return [n for n in (0, 1, 2, 3, 5, 7, 8, 9, 10) if n <= most]


def _table(name: str, who: str, found: list[dict[str, list[float]]], shown: list[int]) -> list[str]:
    lines = [f"{name}, {len(found)} {who} | " + " | ".join(f"{n} answers" for n in shown)]
    for strategy in STRATEGIES:
        cells = [mean_error([row[strategy][n] for row in found]) for n in shown]
        lines.append(f"{strategy} | " + " | ".join(cells))
    lines += [paired(found, other, shown) for other in STRATEGIES if other != "ours"]
    return [*lines, reached(found, shown)]


def reached(found: list[dict[str, list[float]]], shown: list[int]) -> str:
    """Ours after n answers less a random order after ten, where there are more, or after all but one."""
    enough = [row for row in found if len(row["ours"]) > 11] or found
    last = min(10, min(len(row["ours"]) for row in enough) - 2)
    cells = [
        mean_error([row["ours"][n] - row["random order"][last] for row in enough]) for n in shown
    ]
    return f"ours less random order after {last}, {len(enough)} of them | " + " | ".join(cells)
