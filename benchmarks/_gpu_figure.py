"""Figure 1 at full scale: as much as fits into the time, and on paper how long all of it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

import nongreedy as ng
from experiments.figure1 import OPTIMIZER, SCALES

from ._gpu_cases import Bench, Rows

DATA = Path("../shared/data/cifar10.zip")


def outer_step(bench: Bench) -> Rows:
    """One run and one sweep of Figure 1's size, on random images: from these the whole follows."""
    scale = SCALES["full"]
    steps = 8 if bench.small else 100
    name = "lenet" if bench.small else scale.model
    task = bench.task(name, batch_size=8 if bench.small else scale.batch_size)
    problem = ng.Problem(task, OPTIMIZER, steps, torch.float32)
    run, learn, engine = problem.run(1), list(problem.learned), ng.Reverse()
    engine.hypergradient(run, problem.initial, learn)
    kept = []
    forth = bench.seconds(lambda: kept.append(engine.rollout(run, problem.initial, keep=True)))
    back = bench.seconds(lambda: engine.differentiate(kept[0], learn))
    whole = 10 * (forth + back) / steps * scale.steps / 60
    yield (
        name, steps, f"{1e3 * forth / steps:.1f} ms", f"{1e3 * back / steps:.1f} ms",
        f"{whole:.1f} minutes",
    )  # fmt: skip


def figure(bench: Bench, minutes: float, folder: Path, data: str | None) -> Rows:
    """`experiments.figure1 --scale full`, which goes on where it was stopped."""
    given = data or (str(DATA) if DATA.exists() else "")
    if bench.small or not given or minutes < 0.5:
        why = (
            "a small trial"
            if bench.small
            else "no time is left"
            if given
            else "no CIFAR-10: --data"
        )
        yield "experiments.figure1 --scale full", f"not run: {why}"
        return
    command = [
        sys.executable, "-m", "experiments.figure1", "--scale", "full", "--device", bench.device,
        "--minutes", f"{minutes:.2f}", "--out", str(folder), "--data", given,
        "--methods", "paper,default",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    for line in said[-12:]:
        yield "experiments.figure1 --scale full", line
