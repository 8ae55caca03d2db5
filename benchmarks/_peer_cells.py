"""A cell of the studies of cost: one method at one horizon and one number of hyperparameters."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

import nongreedy as ng
from nongreedy.planning._peak import peak_memory

from ._cost_cases import CASES, RATE, Case, make_task, plain, schedule_with
from ._peer_list import METHODS
from ._peer_methods import Gradients

PLAIN = "plain"  # a run of torch.optim: the unit
MIB = 2**20
EXAMPLES = 512


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is measured.

    Attributes:
        study: ``"horizon"``: windows of the learning rate, momentum and weight decay, `count` in all.
            ``"count"``: `count` windows of the learning rate; where the run is shorter than that,
            they are finer than its steps, and some never act.
        method: A name in `METHODS`, or `PLAIN`.
        rate: The learning rate, where it is differentiated.
    """

    study: str
    model: str
    batch_size: int
    method: str
    steps: int
    count: int
    rate: float = RATE

    @property
    def key(self) -> str:
        """In the study."""
        return "|".join(str(value) for value in dataclasses.astuple(self))

    @property
    def case(self) -> Case:
        """Network and data."""
        shape = CASES[self.model].shape
        return Case(self.model, shape, self.steps, self.batch_size, max(EXAMPLES, self.batch_size))

    def schedule(self) -> ng.Schedule:
        """Where it is differentiated; `schedule_with` counts momentum and weight decay."""
        return schedule_with(self.count if self.study == "horizon" else self.count + 2, self.rate)

    def learned(self) -> list[str]:
        """By what: in the study of horizons by everything that the method can."""
        if self.study == "count":
            return ["learning_rate"]
        cannot = METHODS[self.method].method.cannot
        return [name for name in self.schedule().curves if cannot(ng.SGD(), name) is None]

    def body(self) -> Callable[[], Gradients]:
        """One hypergradient, or one plain run."""
        task = make_task(self.case)
        if self.method == PLAIN:
            return lambda: plain(task, self.steps) or {}
        method, schedule, learn = METHODS[self.method].method, self.schedule(), self.learned()
        method.load()
        run = ng.Run(task, ng.SGD(), self.steps)
        return lambda: method.hypergradient(run, schedule, learn)


def measure(cell: Cell) -> dict[str, Any]:
    """In a process of its own: MiB before and at the peak, seconds of a first run, what came out."""
    body = cell.body()
    dataclasses.replace(cell, steps=4).body()()  # libraries are loaded, and threads started
    device = torch.device("cpu")
    with peak_memory(device) as before:
        pass
    stopped, gradients = None, {}
    begin = time.perf_counter()
    with peak_memory(device) as peak:
        try:
            gradients = body()
        except ng.DivergedError as error:
            stopped = f"{error}".splitlines()[0]
    return {
        "seconds": time.perf_counter() - begin,
        "before": before.bytes / MIB,
        "peak": peak.bytes / MIB,
        "finite": stopped is None and all(_finite(gradient) for gradient in gradients.values()),
        "stopped": stopped,
    }


def _finite(gradient: torch.Tensor | None) -> bool:
    return gradient is not None and math.isfinite(gradient.abs().sum().item())


def measured(cell: Cell, threads: int) -> dict[str, Any]:
    """`measure`, from outside; what a process that died left behind is in ``failed``."""
    given = json.dumps(dataclasses.asdict(cell))
    command = [sys.executable, "-m", "benchmarks.peers", "--threads", str(threads)]
    done = subprocess.run([*command, "--measure", given], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"failed": f"exit status {done.returncode}: {last}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def line(known: list[tuple[float, float]], at: float) -> float:
    """The line through the last two points, at a place beyond them; it does not fall."""
    (x, y), (last_x, last_y) = sorted(known)[-2:]
    slope = max((last_y - y) / (last_x - x), 0.0)
    return last_y + slope * (at - last_x)
