"""The planner: time and memory of every engine on the user's own task, before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .._engine import Engine, FiniteDifference
from .._errors import NongreedyError
from .._optimizer import Optimizer
from .._run import Run
from .._schedule import Schedule
from .._task import Task
from .._trajectory import free_bytes
from .forecast import Forecast as Forecast
from .forecast import forecasts
from .sample import measure

_CLOSE = 1.1  # an engine that is preferred may be so many times slower
_DECAYS = ("momentum", "beta1", "beta2")  # what an integer run multiplies its moments by


@dataclass(frozen=True)
class Plan:
    """What one hypergradient will take, engine by engine.

    Attributes:
        forecasts: One row per engine.
        steps: T.
        plain_seconds: Of one plain run.
        free_bytes: Memory that could still be taken when this was measured.
        present_bytes: What was held already, at the peak of a plain step.
        recommended: The fastest exact engine that fits in half of it; of engines within a tenth, the
            one that is named first, because `Reverse` also gives per-step hypergradients.
    """

    forecasts: tuple[Forecast, ...]
    steps: int
    plain_seconds: float
    free_bytes: int
    present_bytes: int

    @property
    def recommended(self) -> Engine:
        fits = [row for row in self.forecasts if self.fits(row)]
        if not fits:
            raise NongreedyError(
                "No engine fits in half of the memory that is free, "
                f"{self.free_bytes / 2**30:.1f} GiB. Use a smaller model or batch, or set TMPDIR to a "
                "larger disk and use Reverse(store='disk')."
            )
        best = min(row.seconds for row in fits)
        return next(row.engine for row in fits if row.seconds <= _CLOSE * best)

    def fits(self, row: Forecast) -> bool:
        """Whether an engine can be used here, in half of the free memory."""
        exact = not isinstance(row.engine, FiniteDifference)
        more = row.bytes - self.present_bytes
        return exact and not row.refused and more <= self.free_bytes / 2


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

    A few steps are taken in each of the ways in which engines take them (a plain step, a step of the
    reverse sweep, one with tangents, one in integers and its undoing), and multiplied. Nothing of
    them is kept.

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
    if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
        raise ValueError(f"`sample` must be a whole number of at least 1, but got {sample!r}.")
    total = task.steps_for(epochs, steps)
    hyperparameters = {**optimizer.hyperparameters(total), **task.hyperparameters(total)}
    learn = [name for name, hyper in hyperparameters.items() if hyper.learned]
    if not learn:
        raise ValueError(f"Nothing to differentiate: every setting of {optimizer} is fixed.")
    run, schedule = Run(task, optimizer, total, seed, dtype), Schedule.initial(hyperparameters)
    measured = measure(run, schedule, learn, sample)
    rows = forecasts(measured, _spilled_bits(schedule, total), run.module.start().numel())
    plain = total * measured.step.seconds + measured.look.seconds
    return Plan(tuple(rows), total, plain, free_bytes(task.device), measured.step.bytes)


def _spilled_bits(schedule: Schedule, steps: int) -> float:
    """Per parameter, over the whole run: what multiplying by a fraction loses."""
    values = schedule.values(steps)
    return sum(
        float(-values[name].clamp(min=1e-3).log2().sum()) for name in _DECAYS if name in values
    )
