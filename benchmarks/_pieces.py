"""What benchmarks share that search, retrain and compare; finished pieces are notes of a study."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng

RETRAIN_SEEDS = tuple(range(1000, 1005))


class Progress(ng.Callback):
    """One line per outer step."""

    def on_outer_step(self, row: ng.OuterStep) -> None:
        values = {k: [float(f"{v:.3g}") for v in vs] for k, vs in row.values.items()}
        print(
            f"  {row.index} loss {row.validation_loss:.4f} acc {row.validation_accuracy} cost "
            f"{row.cost:.1f} {row.seconds:.0f}s {row.note} {row.signs} {values}",
            flush=True,
        )


def record(result: ng.Result) -> dict[str, Any]:
    """What a note keeps of a search."""
    return {
        "cost": result.cost,
        "status": result.status.name,
        "schedule": {n: c.coefficients.tolist() for n, c in result.schedule.curves.items()},
        "history": [row.to_json() for row in result.history],
    }


def done(
    options: argparse.Namespace,
    keys: Sequence[str],
    find: Callable[[str], ng.Result | ng.Schedule],
    judge: Callable[[ng.Schedule, int], float | None],
) -> ng.Study:
    """The study, after this process' share of the work: search or make the schedule of each key that
    has none yet, and train with it on fresh seeds. None with ``--table``."""
    torch.set_num_threads(1)
    study = ng.Study(options.out)
    for key in [] if options.table else share(keys, options.part, options.only):
        if key in study.notes():
            continue
        print(key, flush=True)
        begin, extra = time.perf_counter(), {}
        found = find(key)
        if isinstance(found, ng.Result):
            found, extra = found.schedule, record(found)
        seconds = time.perf_counter() - begin
        tests = [judge(found, seed) for seed in RETRAIN_SEEDS]
        study.note(key, {"test": tests, "seconds": seconds, **extra})
        print(f"  -> {tests} in {seconds:.0f}s {extra.get('schedule')}", flush=True)
    return study


def table(study: ng.Study, judged_by: str, scale: float, digits: int) -> str:
    """Markdown, from what is finished: what fresh retrainings say of each schedule, times `scale`."""
    groups: dict[str, list[dict]] = {}
    for key, row in study.notes().items():
        groups.setdefault(key.rpartition("|")[0], []).append(row)
    lines = [
        f"| schedule | {judged_by} | per outer seed | plain runs spent |",
        "|---|---|---|---|",
    ]
    for group, rows in groups.items():
        means = [scale * statistics.fmean(row["test"]) for row in rows]
        every = [scale * value for row in rows for value in row["test"]]
        error = statistics.stdev(every) / len(every) ** 0.5
        costs = ", ".join(f"{row['cost']:.0f}" for row in rows if "cost" in row) or "0"
        each = ", ".join(f"{mean:.{digits}f}" for mean in means)
        mean = statistics.fmean(means)
        lines.append(f"| {group} | {mean:.{digits}f} ± {error:.{digits}f} | {each} | {costs} |")
    return "\n".join(lines)


def arguments(description: str, data: str, out: str) -> argparse.ArgumentParser:
    """The options that these benchmarks have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--out", type=Path, default=Path(out))
    parser.add_argument("--part", default="0/1", help="this process' share of the work, i/n")
    parser.add_argument("--only", default="", help="keys that start with this")
    parser.add_argument("--budget", type=float, help="plain runs per search")
    parser.add_argument("--table", action="store_true", help="print the table and stop")
    return parser


def share(keys: Sequence[str], part: str, only: str) -> Sequence[str]:
    """The share ``i/n`` of the keys that start with `only`."""
    index, parts = map(int, part.split("/"))
    return [key for key in keys if key.startswith(only)][index::parts]
