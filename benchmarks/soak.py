"""What grows over a long search: memory, open files, and the study's database.

    python -m benchmarks.soak                      # 500 outer steps of a tiny task
    python -m benchmarks.soak --minutes 60         # as many as there is time for

A row for every tenth of the search. The exit code is 1 where a bar is missed: memory at the end within
5 % of what it was after a tenth, as many files open, and a database of less than 10 MB. Reads ``/proc``:
Linux only. `tests/test_soak.py` runs a shorter one.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import nongreedy as ng

FLAT, DATABASE = 1.05, 10_000_000  # share of the memory after a tenth; bytes in the end
FOREVER = 10**6  # outer steps of a search that only its time ends
# Neither stops by itself: a search that has found its minimum would.
RULES = {
    "auto": ng.ModelSearch(patience=FOREVER),
    "paper": ng.SignDescent(tolerance=1e-300),
}


@dataclass(frozen=True)
class Point:
    """What the process holds after an outer step: bytes of memory, open files, bytes of the database."""

    step: int
    seconds: float
    memory: int
    handles: int
    database: int

    def row(self) -> str:
        """Of the table."""
        sizes = f"{self.memory / 1e6:.1f} | {self.handles} | {self.database / 1e6:.3f}"
        return f"| {self.step} | {self.seconds:.0f} | {sizes} |"


class Meter(ng.Callback):
    """Takes a point after each outer step."""

    def __init__(self, database: Path):
        self.database, self.points = database, list[Point]()
        self._begin = time.perf_counter()

    def on_outer_step(self, row: object) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        size = sum(f.stat().st_size for f in self.database.parent.rglob("*") if f.is_file())
        self.points.append(
            Point(
                len(self.points) + 1,
                time.perf_counter() - self._begin,
                pages * os.sysconf("SC_PAGE_SIZE"),
                len(os.listdir("/proc/self/fd")),
                size,
            )
        )


def missed(points: list[Point]) -> list[str]:
    """The bars that a search did not keep."""
    early, end = points[len(points) // 10], points[-1]
    found = []
    if end.memory > FLAT * early.memory:
        found.append(f"memory grew by {end.memory / early.memory - 1:.1%}")
    if end.handles != early.handles:
        found.append(f"{end.handles} files are open, after a tenth {early.handles}")
    if end.database >= DATABASE:
        found.append(f"the database has {end.database / 1e6:.1f} MB")
    return found


def soak(folder: Path, outer_steps: int, seconds: float | None, outer: str) -> list[Point]:
    """A search of a small network on noise with a pattern, kept in a study in this folder."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(96, 6, generator=draw)
    labels = (inputs[:, 0] + torch.randn(96, generator=draw) > 0).long()
    task = ng.Task(
        lambda: torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)),
        torch.nn.functional.cross_entropy, (inputs[:64], labels[:64]), (inputs[64:], labels[64:]),
        batch_size=16,
    )  # fmt: skip
    optimizer = ng.SGD(ng.Windows(4), momentum=ng.Windows(1), weight_decay=ng.Windows(1))
    meter = Meter(folder / "study.db")
    ng.tune(
        task, optimizer, steps=12, outer=RULES[outer], outer_steps=outer_steps, timeout=seconds,
        study=meter.database, callbacks=[meter], progress=False,
    )  # fmt: skip
    return meter.points


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--outer-steps", type=int, help="500, or as many as --minutes allow")
    parser.add_argument("--minutes", type=float, help="stop the search after so long")
    parser.add_argument("--outer", default="auto", choices=RULES, help="outer rule")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps = options.outer_steps or (FOREVER if options.minutes else 500)
    with tempfile.TemporaryDirectory() as folder:
        seconds = options.minutes and options.minutes * 60
        points = soak(Path(folder), steps, seconds, options.outer)
    print("| outer step | seconds | memory, MB | open files | study, MB |\n|---|---|---|---|---|")
    for point in points[:: math.ceil(len(points) / 10)] + points[-1:]:
        print(point.row())
    found = missed(points)
    print("\n" + ("Missed: " + "; ".join(found) + "." if found else "All bars are kept."))
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
