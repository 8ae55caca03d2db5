"""A cell of the study of growth: one method at one size, measured in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.parallel import ranks, sharded
from nongreedy.planning._peak import peak_memory

from ._cost_cases import plain, schedule_with
from ._peer_list import METHODS
from ._peer_methods import Gradients, Ours

MIB, BATCH, FEATURES, CLASSES = 2**20, 32, 64, 10
OURS = "ours"
PEERS = ("autograd", "higher", "torchopt")
# Axis -> its places. Parameters are those of two hidden layers, about.
AXES = {
    "parameters": (10**4, 10**5, 10**6, 10**7),
    "horizon": (10, 100, 1_000, 10_000, 100_000),
    "hyperparameters": (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
    "ranks": (1, 2, 4),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is measured.

    Attributes:
        axis: What grows: a key of `AXES`.
        place: How far.
        method: `OURS`, which is ``ng.Reverse()`` with the store that fits, or one of `PEERS`.
    """

    axis: str
    place: int
    method: str

    @property
    def key(self) -> str:
        return f"{self.axis}|{self.place}|{self.method}"

    def at(self, axis: str, otherwise: int) -> int:
        return self.place if self.axis == axis else otherwise

    @property
    def parameters(self) -> int:
        return self.at("parameters", 10**6 if self.axis == "ranks" else 2 * 10**4)

    @property
    def steps(self) -> int:
        return self.at("horizon", 20)

    @property
    def batch_size(self) -> int:
        return 512 if self.axis == "ranks" else BATCH

    def task(self) -> ng.Task:
        """Two hidden layers on random numbers."""
        size, draw = max(8 * BATCH, self.batch_size), torch.Generator().manual_seed(0)
        x = torch.randn(size + BATCH, FEATURES, generator=draw)
        y = torch.randint(CLASSES, (size + BATCH,), generator=draw)
        train, held = (x[BATCH:], y[BATCH:]), (x[:BATCH], y[:BATCH])
        make = network_of(self.parameters)
        return ng.Task(
            make, functional.cross_entropy, train, held, batch_size=self.batch_size, verify=False
        )

    def learned(self) -> list[str]:
        """Windows of the learning rate alone where their number grows, or a peer can do no other."""
        if self.axis == "hyperparameters" or self.method == "torchopt":
            return ["learning_rate"]
        return ["learning_rate", "momentum", "weight_decay"]

    def hypergradient(self, task: ng.Task) -> Callable[[], Gradients]:
        """One, whole: train and differentiate."""
        count = self.at("hyperparameters", 7) + 2
        method = Ours(ng.Reverse()) if self.method == OURS else METHODS[self.method].method
        method.load()
        run, schedule = ng.Run(task, ng.SGD(), self.steps), schedule_with(count)
        return lambda: method.hypergradient(run, schedule, self.learned())


def network_of(parameters: int) -> Callable[[], nn.Module]:
    """So wide that it has about so many."""
    linear = FEATURES + CLASSES + 2
    width = round((-linear + math.sqrt(linear**2 + 4 * (parameters - CLASSES))) / 2)
    return lambda: nn.Sequential(
        nn.Linear(FEATURES, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(),
        nn.Linear(width, CLASSES),
    )  # fmt: skip


def measure(cell: Cell, seconds: float) -> dict[str, Any]:
    """In this process: medians of turns, each a plain run and a hypergradient, as many as fit."""
    dataclasses.replace(cell, axis="horizon", place=4).hypergradient(cell.task())()  # loads
    task, turns, device = cell.task(), list[tuple[float, float]](), torch.device("cpu")
    body = cell.hypergradient(task)
    plain(task, 2)
    with peak_memory(device) as before:
        pass
    found = dict[str, torch.Tensor | None]()
    with peak_memory(device) as peak:
        first = timed(lambda: found.update(body()))
    finite = all(g is not None and bool(g.isfinite().all()) for g in found.values())
    few, many = (1, 1) if first > seconds else (3, 7)
    if first > seconds:  # else it warms up
        turns.append((timed(lambda: plain(task, cell.steps)), first))
    begin = time.monotonic()
    while len(turns) < few or (len(turns) < many and time.monotonic() - begin < seconds):
        turns.append((timed(lambda: plain(task, cell.steps)), timed(body)))
    return {
        "plain": statistics.median(a for a, _ in turns),
        "seconds": statistics.median(b for _, b in turns),
        "ratio": statistics.median(b / a for a, b in turns),
        "turns": len(turns),
        "peak": (peak.bytes - before.bytes) / MIB,
        "parameters": sum(p.numel() for p in task.model().parameters()),
        "finite": finite,
    }


def timed(body: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Of the one thread that works: other processes make the machine slow, not this clock fast."""
    begin = clock()
    body()
    return clock() - begin


def measure_by_ranks(cell: Cell, seconds: float) -> dict[str, Any] | None:
    """The batch of each step in as many parts as there are processes; told by the first."""
    with ranks(patience=600) as team:
        spread, alone = sharded(cell.task(), team), cell.task()
        body, begin, turns = cell.hypergradient(spread), time.monotonic(), list[float]()
        body()
        for _ in range(7):
            turns.append(timed(body, time.perf_counter))  # of all: that of the slowest
            if team.gather(time.monotonic() - begin > seconds)[0]:
                break
        row = {"seconds": statistics.median(turns), "turns": len(turns), "finite": True}
        if team.first:
            row["plain"] = statistics.median(
                timed(lambda: plain(alone, 20), time.perf_counter) for _ in range(3)
            )
            row["ratio"] = row["seconds"] / row["plain"]
            row["parameters"] = sum(p.numel() for p in alone.model().parameters())
    return row if team.first else None


def measured(cell: Cell, seconds: float, gibibytes: float) -> dict[str, Any]:
    """The same from outside, within a limit of memory; what a process that died left behind is in
    ``failed``."""
    command = [sys.executable, "-m", "benchmarks.growth", "--seconds", str(seconds)]
    if cell.axis == "ranks":
        torchrun = [
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(cell.place),
        ]
        command[1:1] = torchrun
    command += ["--gibibytes", str(gibibytes), "--measure", json.dumps(dataclasses.asdict(cell))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_patience(seconds), env=environment
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done within {_patience(seconds):.0f} s"}
    rows = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not rows:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"failed": last[:200]}
    return json.loads(rows[-1])


def _patience(seconds: float) -> float:
    """That a cell has: the longest are a single turn."""
    return 40 * seconds + 1200


def cells(axes: list[str], methods: list[str]) -> Iterator[Cell]:
    """In the order of their cost."""
    for axis in axes:
        for place in AXES[axis]:
            for method in methods if axis != "ranks" else [OURS]:
                yield Cell(axis, place, method)
