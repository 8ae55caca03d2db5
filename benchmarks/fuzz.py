"""Random small networks of all layers of PyTorch, each judged by differences of a plain loop.

    python -m benchmarks.fuzz                       # seeds 0 to 199
    python -m benchmarks.fuzz --first 1000 --count 50
    python -m benchmarks.fuzz --each                # every layer and every loss by itself

A table with one row per network, and a summary. The exit code is 1 where one is wrong or ends in an
error that is not the library's. `make test` runs the first forty.
"""

from __future__ import annotations

import argparse
import collections
import sys

import torch

from tests.fuzz.case import Case
from tests.fuzz.losses import LOSSES
from tests.fuzz.network import LAYERS
from tests.verdict import GRADES, Verdict

HEAD = "| seed | layers | loss | optimizer, engine | outcome | error | message |"


def row(case: Case, found: Verdict, width: int = 160) -> str:
    """One line of the table; a message is cut to a width."""
    error = "" if found.error is None else f"{found.error:.0e}"
    said = " ".join(found.message.replace("|", "/").split())
    said = said if len(said) <= width else said[: width - 3] + "..."
    how = f"{case.rule.__name__}, {case.engine}"
    cells = case.seed, " > ".join(case.layers), case.loss, how, found.grade, error, said
    return "| " + " | ".join(map(str, cells)) + " |"


def summary(counts: collections.Counter[str]) -> str:
    """How many of each grade."""
    return ", ".join(f"{counts[grade]} {grade}" for grade in GRADES) + f" of {counts.total()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=200, help="how many networks")
    parser.add_argument("--each", action="store_true", help="every layer and loss by itself")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.count)
    parts = map(Case.of_part, [*LAYERS, *LOSSES])
    torch.set_num_threads(1)
    counts, fault = collections.Counter[str](), False
    print(HEAD + "\n|---|---|---|---|---|---|---|")
    for case in parts if options.each else map(Case.of, seeds):
        found = case.verdict()
        counts[found.grade] += 1
        fault |= found.fault
        print(row(case, found), flush=True)
    print(f"\n{summary(counts)}")
    return int(fault)


if __name__ == "__main__":
    sys.exit(main())
