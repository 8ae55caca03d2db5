"""What benchmarks share that search, retrain and compare: a log of finished pieces of work."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nongreedy as ng

RETRAIN_SEEDS = tuple(range(1000, 1005))


class Log:
    """Finished pieces of work, by key."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> dict[str, dict]:
        """Every finished piece."""
        if not self.path.exists():
            return {}
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        return {row["key"]: row for row in rows}

    def write(self, key: str, **row: object) -> None:
        """Append one piece as one line."""
        with self.path.open("a") as file:
            file.write(json.dumps({"key": key, "date": time.strftime("%F"), **row}) + "\n")


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
    """What a line of the log keeps of a search."""
    return {
        "cost": result.cost,
        "status": result.status.name,
        "schedule": {n: c.coefficients.tolist() for n, c in result.schedule.curves.items()},
        "history": [row.to_json() for row in result.history],
    }


def table(log: Log, judged_by: str, scale: float, digits: int) -> str:
    """Markdown, from what is finished: what fresh retrainings say of each schedule, times `scale`."""
    groups: dict[str, list[dict]] = {}
    for key, row in log.read().items():
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
