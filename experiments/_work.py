"""What the experiments share: pieces of work that outlive the process, and data."""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng
from benchmarks._pieces import share

FRESH = range(1000, 1005)  # seeds of retrainings: of no search


@dataclass(frozen=True)
class Scale:
    """How large an experiment is.

    Args:
        train_examples, validation_examples: None is all that there are.
        steps: Of one training run.
    """

    model: str
    train_examples: int | None
    validation_examples: int | float
    batch_size: int
    steps: int
    seeds: int
    augmented: bool = False


class Stopped(Exception):
    """The time of this process is over; what was begun goes on in the next."""


class Clock(ng.Callback):
    """Stops a search when the time of this process is over; its study keeps it."""

    def __init__(self, minutes: float | None):
        self.end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    @property
    def over(self) -> bool:
        """Whether it is time to stop."""
        return time.monotonic() > self.end

    def on_run_start(self, label: str, steps: int) -> None:
        if self.over:
            raise KeyboardInterrupt

    def on_inner_step(self, step: int, steps: int) -> None:
        self.on_run_start("", steps)

    def on_outer_step(self, row: ng.OuterStep) -> None:
        accuracy = "" if row.validation_accuracy is None else f" ({row.validation_accuracy:.1%})"
        print(f"    {row.index}: {row.validation_loss:.4f}{accuracy} {row.note}", flush=True)


@dataclass(frozen=True)
class Work:
    """One call of an experiment: its options, its study and its clock.

    Attributes:
        folder: Of the studies and the figure.
        study: Its notes are the finished pieces.
    """

    scale: Scale
    folder: Path
    data: str
    device: str
    clock: Clock
    study: ng.Study

    def task(self, **other: Any) -> ng.Task:
        """Images and a network, as large as the scale says."""
        scale = self.scale
        splits = ng.data.load(
            self.data,
            train_examples=scale.train_examples,
            validation_examples=scale.validation_examples,
        )
        shape = tuple(splits.train[0].shape[1:])
        crop = ng.data.Compose(ng.data.RandomCrop(4), ng.data.HorizontalFlip())
        return ng.Task(
            ng.models.build(scale.model, shape, len(splits.classes)),
            torch.nn.functional.cross_entropy,
            splits.train,
            splits.validation,
            splits.test,
            batch_size=scale.batch_size,
            augment=crop if scale.augmented else None,
            device=self.device,
            **other,
        )

    def search(
        self, key: str, task: ng.Task, optimizer: ng.Optimizer, **settings: Any
    ) -> ng.Result:
        """:func:`nongreedy.tune` in a study of its own, which the next process goes on with."""
        name = key.replace("|", "-").replace(" ", "-")
        try:
            result = ng.tune(
                task,
                optimizer,
                study=self.folder / "studies" / f"{name}.db",
                callbacks=[self.clock],
                **settings,
            )
        except KeyboardInterrupt:  # before any run was finished: by our clock, or by the keyboard
            if self.clock.over:
                raise Stopped from None
            raise
        if result.status is ng.Status.interrupted:
            raise Stopped
        return result

    def judged(
        self, task: ng.Task, schedule: ng.Schedule, optimizer: ng.Optimizer | None = None
    ) -> list[float]:
        """Test accuracies, in percent, of plain trainings on fresh seeds."""
        steps = self.scale.steps
        trained = (
            ng.retrain(task, schedule, steps=steps, seed=s, optimizer=optimizer) for s in FRESH
        )
        return [100 * found.test_accuracy for found in trained if found.test_accuracy is not None]

    def do(self, keys: Sequence[str], piece: Callable[[str], Mapping[str, Any]]) -> None:
        """Every piece of work that the study does not have yet, until the time is over."""
        for key in keys:
            if key in self.study.notes():
                continue
            print(f"{time.strftime('%T')}  {key}", flush=True)
            begin = time.perf_counter()
            try:
                if self.clock.over:
                    raise Stopped
                found = piece(key)
            except Stopped:
                print("The time is over; the same command goes on from here.")
                return
            seconds = time.perf_counter() - begin
            self.study.note(key, {"seconds": round(seconds, 1), **found})

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """The finished pieces whose key begins so."""
        notes = self.study.notes().items()
        return [{"key": key, **row} for key, row in notes if key.split("|")[0] == kind]


def begun(
    description: str,
    name: str,
    scales: Mapping[str, Scale],
    data: str = "../shared/data/cifar10.zip",
    more: Mapping[str, dict[str, Any]] | None = None,
) -> tuple[Work, argparse.Namespace]:
    """The work that the command line asks for; `more` are further options of the parser."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--scale", choices=list(scales), default="cpu")
    parser.add_argument("--data", default=data, help="a path, or the name of a data set")
    parser.add_argument("--out", type=Path, help=f"folder, by default results/{name}-SCALE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="stop then; the same command goes on")
    parser.add_argument("--part", default="0/1", help="this process' share of the work, i/n")
    parser.add_argument("--only", default="", help="pieces whose name starts with this")
    parser.add_argument("--table", action="store_true", help="print, draw, and compute nothing")
    for flag, given in (more or {}).items():
        parser.add_argument(flag, **given)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    folder = options.out or Path("results") / f"{name}-{options.scale}"
    folder.mkdir(parents=True, exist_ok=True)
    study, clock = ng.Study(folder / "pieces.db"), Clock(options.minutes)
    work = Work(scales[options.scale], folder, options.data, options.device, clock, study)
    return work, options


def mine(keys: Iterable[str], options: argparse.Namespace) -> Sequence[str]:
    """The share of the keys that this process does; none with ``--table``."""
    return [] if options.table else share(list(keys), options.part, options.only)


def conduct(
    work: Work,
    options: argparse.Namespace,
    keys: Iterable[str],
    piece: Callable[[Work, ng.Task, str], Mapping[str, Any]],
    show: Callable[[Work, Path], None],
) -> None:
    """This process' pieces; then what is known by now, as a table and a figure."""
    if todo := mine(keys, options):
        task = work.task()
        work.do(todo, lambda key: piece(work, task, key))
    if not work.study.notes():
        return print("Nothing is finished yet: go on with the same command.")
    path = work.folder / "figure.png"
    show(work, path)
    return print(f"\n{path}")


def spread(values: Sequence[float], digits: int = 2) -> str:
    """``mean ± standard error``."""
    if not values:
        return ""
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):.{digits}f} ± {error:.{digits}f}"
