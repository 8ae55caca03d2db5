"""What a study costs: the same search with and without one, in turns.

    python -m benchmarks.study_overhead                   # about seven minutes of one thread
    python -m benchmarks.study_overhead --turns 3 --outer-steps 2

The search is that of `make demo` (handwritten digits, default rule). A study keeps every outcome in an
SQLite file, adds a trial per outer step and writes a savepoint every 30 seconds at most; with
``--savepoint-seconds 1`` thirty times as often. Optuna is imported before, as in a long search it is
imported once. Results are compared, too: they must have the same bits.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

import nongreedy as ng


def search(outer_steps: int, epochs: float, study: ng.Study | None) -> tuple[float, ng.Result]:
    """Seconds, and what was found."""
    splits = ng.data.load("digits")
    task = ng.Task(
        ng.models.build("convnet", (1, 8, 8), 10),
        torch.nn.functional.cross_entropy,
        splits.train,
        splits.validation,
        batch_size=128,
    )
    optimizer = ng.SGD(ng.Linear(5), ng.Windows(1), ng.Windows(1))
    begin = time.perf_counter()
    result = ng.tune(task, optimizer, epochs=epochs, outer_steps=outer_steps, study=study)
    return time.perf_counter() - begin, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--outer-steps", type=int, default=3)
    parser.add_argument("--epochs", type=float, default=10.0)
    parser.add_argument("--savepoint-seconds", type=float, default=30.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    import optuna  # noqa: F401

    print(f"torch {torch.__version__}, {time.strftime('%F')}, {options.turns} turns")
    search(1, 10.0, None)  # warm
    ratios, sizes = [], []
    for turn in range(options.turns):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "study.db"
            study = ng.Study(file, savepoint_seconds=options.savepoint_seconds)
            order = [None, study] if turn % 2 == 0 else [study, None]
            found = {
                kept is None: search(options.outer_steps, options.epochs, kept) for kept in order
            }
            sizes.append(file.stat().st_size / 2**20)
        (plain, without), (kept, with_study) = found[True], found[False]
        found_by = [r.schedule.to_json()["hyperparameters"] for r in (without, with_study)]
        assert found_by[0] == found_by[1], "a study changed the result"
        ratios.append(kept / plain)
        print(f"  {plain:.1f} s without, {kept:.1f} s with: {kept / plain:.3f}", flush=True)
    print(
        f"with / without: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}); the file has {sizes[-1]:.1f} MiB"
    )


if __name__ == "__main__":
    main()
