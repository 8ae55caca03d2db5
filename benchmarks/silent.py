"""What becomes of everything that once was silently wrong, in every engine.

    python -m benchmarks.silent

A table with one row per case: the relative error of the hypergradient against differences of a plain
``torch.optim`` loop in float64, or what the refusal says. The exit code is 1 where one is wrong or ends
in an error that is not the library's. `make test` holds every cell.
"""

from __future__ import annotations

import argparse
import sys

import torch

from tests.silent_table import CASES, ENGINES, found
from tests.verdict import Verdict


def cell(verdict: Verdict) -> str:
    """A grade, and the error where there is one."""
    return verdict.grade if verdict.error is None else f"{verdict.grade} {verdict.error:.0e}"


def row(case: str, verdicts: list[Verdict], width: int = 200) -> str:
    """One line of the table, with the first message, cut to a width."""
    said = next((verdict.message for verdict in verdicts if verdict.message), "")
    said = " ".join(said.replace("|", "/").split())
    said = said if len(said) <= width else said[: width - 3] + "..."
    return "| " + " | ".join([case, *map(cell, verdicts), said]) + " |"


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0]).parse_args()
    torch.set_num_threads(1)
    fault = False
    print("| " + " | ".join(["case", *ENGINES, "message"]) + " |")
    print("|---" * (len(ENGINES) + 2) + "|")
    for case in CASES:
        verdicts = [found(case, engine) for engine in ENGINES]
        fault |= any(verdict.fault for verdict in verdicts)
        print(row(case, verdicts), flush=True)
    return int(fault)


if __name__ == "__main__":
    sys.exit(main())
