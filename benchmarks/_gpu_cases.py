"""What the GPU script measures on: tasks whose data lie on the device, and a clock that waits for it."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.planning._peak import peak_memory

Rows = Iterator[tuple[Any, ...]]  # cells, in the order of a table's columns
Images = tuple[int, int, int]
OPTIMIZER = ng.SGD(
    ng.Windows(7, initial=0.01),
    ng.Windows(1, initial=0.9, bounds=(0.1, 0.99)),
    ng.Windows(1, initial=5e-4),
)
NETWORKS = ("mlp", "lenet", "convnet", "wrn-16-1", "transformer")
MIB = 2**20
FAILED = "failed:"


def relative(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """Largest difference, relative to the largest entry of each name."""
    return max(
        float((ours[n].cpu() - g.cpu()).abs().max() / g.abs().max().clamp(min=1e-300).cpu())
        for n, g in theirs.items()
    )


def tried(cells: int, work: Callable[..., list[str]], *arguments: Any) -> list[str]:
    """The last cells of a row, or what was raised: the other rows do not depend on it."""
    try:
        return work(*arguments)
    except Exception as error:
        traceback.print_exc()
        return [f"{FAILED} {type(error).__name__}: {str(error)[:160]}", *[""] * (cells - 1)]


class Within(nn.Module):
    """A network that computes in bfloat16 where autocast does."""

    def __init__(self, network: nn.Module, device: str):
        super().__init__()
        self.network, self.device = network, device

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.device, torch.bfloat16):
            return self.network(inputs).float()


class Bench:
    """Tasks and clocks of one device.

    Args:
        device: ``"cuda"``; or ``"cpu"`` to see that the script runs.
        small: Few steps of few examples.
    """

    def __init__(self, device: str, small: bool):
        self.device, self.small = device, small
        self.steps = 8 if small else 100

    def task(self, name: str, coarse: bool = False, **settings: Any) -> ng.Task:
        """A network on random data.

        Args:
            coarse: Under autocast.
        """
        make = self._make(name)
        data = self._characters() if name == "transformer" else self._images(_shape(name))
        size = 16 if name == "transformer" else 128
        size = 8 if self.small else size
        settings = {"batch_size": size, "device": self.device, **settings}
        held, train = ([x[part] for x in data] for part in (slice(size), slice(size, None)))
        network = (lambda: Within(make(), self.device)) if coarse else make
        return ng.Task(network, functional.cross_entropy, train, held, **settings)

    def _make(self, name: str) -> Callable[[], nn.Module]:
        if name == "transformer":
            return lambda: ng.models.CharTransformer(65, 64, 64, 2, 4)
        return ng.models.build(name, _shape(name), 10)

    def _images(self, shape: Images) -> tuple[torch.Tensor, torch.Tensor]:
        draw, count = torch.Generator().manual_seed(1), 24 if self.small else 1152
        x, y = (
            torch.randn(count, *shape, generator=draw),
            torch.randint(10, (count,), generator=draw),
        )
        return x.to(self.device), y.to(self.device)

    def _characters(self) -> tuple[torch.Tensor, torch.Tensor]:
        draw, count = torch.Generator().manual_seed(1), 24 if self.small else 272
        rows = torch.randint(65, (count, 65), generator=draw).to(self.device)
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()

    def problem(self, task: ng.Task, steps: int, dtype: torch.dtype = torch.float32) -> ng.Problem:
        return ng.Problem(task, OPTIMIZER, steps, dtype)

    def hypergradient(
        self, task: ng.Task, steps: int, engine: ng.Engine, dtype: torch.dtype = torch.float32
    ) -> ng.Hypergradient:
        problem = self.problem(task, steps, dtype)
        return engine.hypergradient(problem.run(1), problem.initial, list(problem.learned))

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], object]) -> float:
        self.wait()
        begin = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - begin

    def peak(self, work: Callable[[], object]) -> int:
        """Bytes: allocated there at most; on a CPU resident, of the whole process."""
        with peak_memory(torch.device(self.device)) as peak:
            work()
        return peak.bytes

    def coarse_products(self) -> contextlib.AbstractContextManager[Any]:
        """Products in bfloat16, sums and adjoints in float32."""
        return torch.autocast(self.device, torch.bfloat16)


def _shape(name: str) -> Images:
    return (1, 28, 28) if name == "mlp" else (3, 32, 32)


def plain(task: ng.Task, steps: int) -> None:
    """Ordinary training on the same batches."""
    torch.manual_seed(1)
    model = task.model().to(task.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for step in range(steps):
        x, y = task.plan.batch(1, step, task.device, torch.float32)
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
