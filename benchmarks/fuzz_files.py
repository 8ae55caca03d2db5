"""Files that readers of the library may meet, damaged by seeds: each is read, or refused in one line.

    python -m benchmarks.fuzz_files                     # 200 files
    python -m benchmarks.fuzz_files --first 1000 --count 2000 --subject study

A line for each fault, and a table. The exit code is 1 where there is a fault: a traceback, a hang, a file
written elsewhere, code that ran. `tests/test_fuzz_files.py` tries fewer.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
import time
from pathlib import Path

import torch

from tests.fuzz.files import SUBJECTS, case, within


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=200, help="how many files")
    parser.add_argument("--subject", choices=SUBJECTS, help="one kind of file alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = [options.subject] if options.subject else list(SUBJECTS)
    counts = {kind: collections.Counter[str]() for kind in kinds}
    slowest, faults = 0.0, 0
    for seed in range(options.first, options.first + options.count):
        kind = kinds[seed % len(kinds)]
        with tempfile.TemporaryDirectory() as folder, within(Path(folder)):
            begin = time.perf_counter()
            found = case(kind, seed, Path(folder))
            slowest = max(slowest, time.perf_counter() - begin)
        counts[kind]["fault" if found.fault else found.outcome] += 1
        faults += found.fault
        if found.fault:
            print(f"{kind}, seed {seed}: {found.outcome}: {found.said[:200]}", flush=True)
    print("| file | read | refused | faults |\n|---|---|---|---|")
    for kind, row in counts.items():
        print(f"| {kind} | {row['read']} | {row['refused']} | {row['fault']} |")
    print(f"\n{options.count} files, {faults} faults; the slowest took {slowest:.1f} s.")
    return int(faults > 0)


if __name__ == "__main__":
    raise SystemExit(main())
