"""Pieces of the suite: a task, a method, a budget and an outer seed; each is a file."""

from __future__ import annotations

import functools
import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import torch

import nongreedy as ng
from nongreedy.comparison import METHODS, Piece
from nongreedy.schedules._files import replace_file

from ._data import Data
from ._entry import Entry
from ._fresh import FRESH
from ._tasks import TASKS


@dataclass(frozen=True)
class Place:
    """Which piece."""

    task: str
    method: str
    budget: float
    seed: int

    def file(self, folder: Path) -> Path:
        """Where it is kept once it is done."""
        return folder / self.task / self.method / f"{self.budget:g}-{self.seed}.json"

    def __str__(self) -> str:
        return f"{self.task}, {self.method}, budget {self.budget:g}, outer seed {self.seed}"


@dataclass(frozen=True)
class Suite:
    """The pieces of one part of the data, in a folder of their own.

    Args:
        data: The part.
        out: Folder of the results of all parts.
        tasks: Rows that take part.
    """

    data: Data
    out: Path
    tasks: Mapping[str, Entry]

    @property
    def folder(self) -> Path:
        """Of this part."""
        return self.out / self.data.part

    def missing(self, places: Iterable[Place]) -> list[Place]:
        """Those that are not done."""
        return [place for place in places if self.read(place) is None]

    def read(self, place: Place) -> Piece | None:
        """A finished piece.

        Raises:
            ValueError: It was made by another version of its task.
        """
        file = place.file(self.folder)
        if not file.exists():
            return None
        kept = json.loads(file.read_text("utf-8"))
        if kept["task"] != json.loads(json.dumps(self.tasks[place.task].identity)):
            raise ValueError(
                f"{file} was made by another version of {place.task!r}. Remove it, or name another "
                "folder with --out."
            )
        return Piece.from_json(kept["piece"])

    def run(self, place: Place) -> Piece | None:
        """One piece, unless it is done: search, train afresh, write the file whole. None where the
        method cannot take part in the task."""
        if (known := self.read(place)) is not None:
            return known
        entry, method = self.tasks[place.task], METHODS[place.method]
        task = self._task(place.task)
        if method.refused(ng.Problem.of(task, entry.optimizer, steps=entry.steps)):
            return None
        compared = ng.compare(
            task, entry.optimizer, steps=entry.steps, budget=place.budget,
            methods={place.method: method}, seeds=1, seed=place.seed, retrain_seeds=FRESH,
            curve_seeds=0,
        )  # fmt: skip
        (piece,) = compared.pieces
        file = place.file(self.folder)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = {"task": entry.identity, "piece": piece.to_json()}
        replace_file(file, json.dumps(content, indent=1) + "\n")
        return piece

    def _task(self, name: str) -> ng.Task:
        return _made(self.data, self.tasks[name])

    def pieces(self) -> dict[Place, Piece]:
        """All that are done."""
        found = {}
        for file in sorted(self.folder.glob("*/*/*-*.json")):
            budget, _, seed = file.stem.rpartition("-")
            place = Place(file.parts[-3], file.parts[-2], float(budget), int(seed))
            if place.task in self.tasks and (piece := self.read(place)) is not None:
                found[place] = piece
        return found


@functools.lru_cache(maxsize=2)
def _made(data: Data, entry: Entry) -> ng.Task:
    """A task is made, and verified, once for pieces that follow each other."""
    return entry.make(data)


def places(
    tasks: Sequence[str], methods: Sequence[str], budgets: Sequence[float], seeds: int
) -> Iterator[Place]:
    """Every piece; those of the first seed, which make a first table, come first."""
    for budget in budgets:
        for seed in range(seeds):
            for task in tasks:
                for method in methods:
                    yield Place(task, method, budget, seed)


def _worker(data: Data, out: Path, place: Place) -> Piece | None:
    torch.set_num_threads(1)
    return Suite(data, out, TASKS).run(place)


def run(suite: Suite, wanted: Sequence[Place], jobs: int) -> int:
    """Run what is missing in so many processes of one thread; the number of pieces that failed."""
    failed, left = 0, suite.missing(wanted)
    print(f"{len(left)} of {len(wanted)} pieces to do", flush=True)
    if jobs == 1:
        torch.set_num_threads(1)
        for place in left:
            failed += _told(place, functools.partial(suite.run, place))
        return failed
    # Spawned: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context) as pool:
        begun = {pool.submit(_worker, suite.data, suite.out, place): place for place in left}
        try:
            for future in as_completed(begun):
                failed += _told(begun[future], future.result)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # else it would wait for all that has not begun
            raise
    return failed


def _told(place: Place, finish: Callable[[], Piece | None]) -> bool:
    """Print what a piece came to; whether it failed, which ends no other piece."""
    failed = False
    try:
        piece = finish()
    except Exception as error:
        failed, words = True, f"{type(error).__name__}: {error}"
    else:
        words = "cannot take part" if piece is None else _outcome(piece, TASKS[place.task].measure)
    print(f"{time.strftime('%T')} {place}: {words}", flush=True)
    return failed


def _outcome(piece: Piece, measure: str) -> str:
    return f"{piece.score(measure):.4f}, cost {piece.cost:.1f}, {piece.seconds:.0f} s"
