"""What a study, its savepoints and logging cost.

    python -m benchmarks.study_overhead                          # `make demo`'s search, in turns
    python -m benchmarks.study_overhead --net lenet --turns 1    # CIFAR-10, minutes: what it is made for

Two measures. *Inside*: the time from entering to leaving our storage, savepoints, opening of the study
and the loggers' hooks, as a share of the whole search; the rest of the process cannot blur it. *Turns*:
the same search with and without all of that, taking turns; it holds what the first leaves out (asking
every step whether a savepoint is due), and the noise of the machine. Results must have the same bits.

A study keeps every outcome in an SQLite file, adds a trial per outer step, and writes a savepoint every 30
seconds; with ``--savepoint-seconds 1`` thirty times as often. ``--log`` adds TensorBoard and W&B (offline).
Optuna is imported before, as in a long search it is imported once.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng

from .real_task import SETTINGS, make_task

HOOKS = ("on_engine", "on_run_start", "on_inner_step", "on_outer_step", "on_end")


class Clock:
    """Seconds between entering and leaving any of the wrapped functions; nested calls count once."""

    def __init__(self):
        self.seconds, self._depth = dict[str, float](), 0

    def wrapped(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        @functools.wraps(function)
        def timed(*given: Any, **named: Any) -> Any:
            self._depth += 1
            begin = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    spent = time.perf_counter() - begin
                    self.seconds[label] = self.seconds.get(label, 0.0) + spent

        return timed

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Time everything that a study does while this lasts."""
        from nongreedy.studies._savepoints import Savepoints
        from nongreedy.studies._session import Session
        from nongreedy.studies._storage import Storage

        places = [("opening", Storage, "__init__"), ("savepoints", Savepoints, "keep")]
        places += [("savepoints", Savepoints, name) for name in ("newest", "clear")]
        names = ("recall", "remember", "settle", "finish", "noted", "note")
        places += [("storage", Session, name) for name in names]
        before = [(owner, name, vars(owner)[name]) for _, owner, name in places]
        for label, owner, name in places:
            setattr(owner, name, self.wrapped(label, vars(owner)[name]))
        try:
            yield
        finally:
            for owner, name, function in before:
                setattr(owner, name, function)


def loggers(folder: Path, clock: Clock) -> list[ng.Callback]:
    """TensorBoard and W&B, offline, every hook timed."""
    from nongreedy.integrations.tensorboard import TensorBoardCallback
    from nongreedy.integrations.wandb import WandbCallback

    found: list[ng.Callback] = [
        TensorBoardCallback(folder / "events"),
        WandbCallback(mode="offline", dir=str(folder)),
    ]
    for callback, label in zip(found, ("TensorBoard", "W&B"), strict=True):
        for hook in HOOKS:
            setattr(callback, hook, clock.wrapped(label, getattr(callback, hook)))
    return found


def digits_task() -> ng.Task:
    """Handwritten digits and the net of `make demo`."""
    splits = ng.data.load("digits")
    return ng.Task(
        ng.models.build("convnet", (1, 8, 8), 10),
        torch.nn.functional.cross_entropy,
        splits.train,
        splits.validation,
        batch_size=128,
    )


def search(task: ng.Task, options: argparse.Namespace, **extra: Any) -> tuple[float, ng.Result]:
    """Seconds, and what was found."""
    optimizer = ng.SGD(ng.Linear(5), ng.Windows(1), ng.Windows(1))
    begin = time.perf_counter()
    result = ng.tune(
        task, optimizer, epochs=options.epochs, outer_steps=options.outer_steps, **extra
    )
    return time.perf_counter() - begin, result


def watched(task: ng.Task, options: argparse.Namespace) -> tuple[float, ng.Result, Clock]:
    """The search with everything that may be kept, and the time spent on that."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as name, clock.inside():
        folder = Path(name)
        study = ng.Study(folder / "study.db", savepoint_seconds=options.savepoint_seconds)
        callbacks = loggers(folder, clock) if options.log else []
        return *search(task, options, study=study, callbacks=callbacks), clock


def report(seconds: float, clock: Clock) -> float:
    """Print where the time went; the share of all of it."""
    parts = ", ".join(f"{label} {spent:.2f}" for label, spent in clock.seconds.items())
    share = sum(clock.seconds.values()) / seconds
    print(f"  {seconds:.1f} s, of which {parts}: {share:.2%}", flush=True)
    return share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=["digits", *sorted(SETTINGS)], default="digits")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/cifar10.zip"))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--outer-steps", type=int, default=3)
    parser.add_argument("--epochs", type=float, help="of a run; 10 for digits, else the setting's")
    parser.add_argument("--savepoint-seconds", type=float, default=30.0)
    parser.add_argument("--log", action="store_true", help="TensorBoard and W&B, too")
    parser.add_argument("--alone", action="store_true", help="no searches without a study")
    options = parser.parse_args()
    if options.net == "digits":
        task, epochs = digits_task(), 10.0
    else:
        setting = SETTINGS[options.net]
        task = make_task(setting, options.data)
        epochs = setting.steps * setting.batch_size / setting.train_examples
    options.epochs = options.epochs or epochs
    torch.set_num_threads(1)
    import optuna  # noqa: F401

    print(f"torch {torch.__version__}, {time.strftime('%F')}, {options.net}")
    ratios, shares = [], []
    for turn in range(options.turns):
        bare = None if options.alone or turn % 2 else search(task, options)
        seconds, result, clock = watched(task, options)
        shares.append(report(seconds, clock))
        bare = bare or (None if options.alone else search(task, options))
        if bare is not None:
            found = [r.schedule.to_json()["hyperparameters"] for r in (bare[1], result)]
            assert found[0] == found[1], "a study changed the result"
            ratios.append(seconds / bare[0])
            print(f"    without: {bare[0]:.1f} s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"inside: median {statistics.median(shares):.2%} of a search")
    if ratios:
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        print(f"with / without: median {statistics.median(ratios):.3f} ({spread})")


if __name__ == "__main__":
    main()
