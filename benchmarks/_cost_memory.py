"""Peak memory of a hypergradient, each figure from a process of its own."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import nongreedy as ng
from nongreedy.planning._peak import peak_memory

from ._cost_cases import CASES, of_optimizer

ENGINES = {"reverse": ng.Reverse("checkpoint"), "forward": ng.Forward()}
_LABELS = {"reverse": "Reverse, checkpoints", "forward": "Forward, 3"}


def measure_memory(engine: str, steps: int) -> None:
    """In a process of its own: peak in MiB, and that of the same after four steps."""
    peaks = {}
    for name, length in (("before", 4), ("peak", steps)):
        problem = of_optimizer(dataclasses.replace(CASES["mlp"], steps=length, batch_size=16), 3)
        # Not ru_maxrss: a process inherits that from its parent, which may be larger.
        with peak_memory(problem.run.task.device) as peak:
            problem.hypergradient(ENGINES[engine])
        peaks[name] = peak.bytes / 2**20
    print(json.dumps(peaks))


def memory_table() -> None:
    """Print peak memory at 1,000 and 10,000 steps."""
    print("\nmemory: MLP with 101,770 parameters, MiB")
    for engine in ENGINES:
        rows = {}
        for steps in (1_000, 10_000):
            command = [
                sys.executable,
                "-m",
                "benchmarks.engine_cost",
                "--memory-of",
                engine,
                str(steps),
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows[steps] = json.loads(done.stdout)
        growth = {t: row["peak"] - row["before"] for t, row in rows.items()}
        print(f"  {_LABELS[engine]:<22} peak {rows[1000]['peak']:.0f} -> {rows[10000]['peak']:.0f} "
              f"(ratio {rows[10000]['peak'] / rows[1000]['peak']:.3f}); growth over four steps "
              f"{growth[1000]:.1f} -> {growth[10000]:.1f}"
              + (f" (ratio {growth[10000] / growth[1000]:.2f})" if growth[1000] > 1 else ""))  # fmt: skip
