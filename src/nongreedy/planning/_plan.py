"""The planner: time and memory of every engine on the user's own task, before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..engines import Engine, Problem
from ..engines._store import free_bytes
from ..errors import NongreedyError, check_whole
from ..optimizers import Optimizer
from ..task import Task
from ._choice import Choice, Room, choose
from ._forecast import Forecast, forecasts, stores
from ._walk import Walk

_WARM_UP = 2


@dataclass(frozen=True)
class Plan:
    """What one hypergradient will take, engine by engine.

    Attributes:
        forecasts: One row per engine.
        steps: T.
        plain_seconds: Of one plain run.
        free_bytes: Memory that could still be taken when this was measured.
        present_bytes: What was held already, at the peak of a plain step.
        choice: The engine that ``engine="auto"`` would take, and why: the first exact one, in the
            order of the rows, that fits in half of the free memory; but no disk that makes it 1.5
            times as slow as a later one. Forward mode may be quicker than the first row for one or
            two coefficients, by at most a third; `Reverse` also gives per-step hypergradients.
        recommended: That engine.
    """

    forecasts: tuple[Forecast, ...]
    steps: int
    plain_seconds: float
    free_bytes: int
    present_bytes: int

    @property
    def choice(self) -> Choice:
        found = choose(self.forecasts, self.fits)
        if found is None:
            raise NongreedyError(
                "No engine fits in half of the memory that is free, "
                f"{self.free_bytes / 2**30:.1f} GiB. Use a smaller model or batch, or set TMPDIR to a "
                "larger disk and use Reverse(store='disk')."
            )
        return found

    @property
    def recommended(self) -> Engine:
        return self.choice.engine

    def fits(self, row: Forecast) -> bool:
        """Whether an engine can be used here, in half of the free memory."""
        return Room(self.free_bytes, self.present_bytes).takes(row)


def plan(
    task: Task,
    optimizer: Optimizer,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    sample: int = 8,
) -> Plan:
    """Predict time and peak memory of one hypergradient of the whole run, engine by engine.

    The first steps are taken in each of the ways in which engines take them (a plain step, a step of
    the reverse sweep, keeping a state and having it again, a step in integers and its undoing, steps
    with few and with many tangents), and multiplied. Nothing of them is kept.

    Args:
        task, optimizer, epochs, steps, seed, dtype: As in :func:`tune`.
        sample: Steps to measure in each way, after two to warm up.

    Returns:
        Forecasts with their arithmetic, and a recommendation.

    Raises:
        ValueError: Bad settings, or nothing to learn.
        DivergedError: The first steps diverge.

    Cannot: know what else will run on the machine; foresee a data set that becomes slower, or steps
    whose cost changes over the run.

    Example:
        >>> import torch, nongreedy as ng
        >>> x = torch.randn(64, 4); y = x.sum(1, keepdim=True)
        >>> task = ng.Task(lambda: torch.nn.Linear(4, 1), torch.nn.functional.mse_loss,
        ...                (x, y), (x, y), batch_size=16)
        >>> [type(row.engine).__name__ for row in ng.plan(task, ng.SGD(), steps=20).forecasts][:2]
        ['Reverse', 'Reverse']
    """
    check_whole("sample", sample)
    problem = Problem.of(task, optimizer, epochs=epochs, steps=steps, dtype=dtype)
    walk = Walk(problem.run(seed), problem.initial, list(problem.learned), sample + _WARM_UP)
    core = walk.core(stores(task.device))
    rows = tuple(forecasts(walk, core))
    plain = problem.steps * core.step.seconds + core.look.seconds
    return Plan(rows, problem.steps, plain, free_bytes(task.device), core.step.bytes)
