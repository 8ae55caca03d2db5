"""The planner: time and memory of every engine on the user's own task, before anything is spent."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..engines import Engine, Problem, Reverse, engine_from
from ..engines._free_memory import free_bytes
from ..errors import NongreedyError, check_whole
from ..optimizers import Optimizer
from ..schedules._words import number
from ..task import Task
from ._choice import Choice, choose, fits, graphs_of
from ._forecast import Forecast, engines_for, forecast, seconds_of
from ._short_runs import ShortRuns


@dataclass(frozen=True)
class Plan:
    """What one hypergradient will take, engine by engine.

    Attributes:
        forecasts: One row per engine.
        steps: T.
        plain_seconds: Of one plain run.
        free_bytes: Memory that could still be taken when this was measured.
        present_bytes: What was held already, at the peak of a plain run.
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
        choice = choose(self.forecasts, self.free_bytes, self.present_bytes)
        if choice is None:
            raise NongreedyError(
                "No engine fits in half of the memory that is free, "
                f"{self.free_bytes / 2**30:.1f} GiB. Use a smaller model or batch, or "
                "micro-batches (Task(accumulate=8)), or set TMPDIR to a larger disk and use "
                "Reverse(store='disk')."
            )
        return choice

    @property
    def recommended(self) -> Engine:
        return self.choice.engine

    def __repr__(self) -> str:
        rows = sorted(self.forecasts, key=lambda row: (bool(row.refused), row.seconds))
        told = [f"  {row.engine!r}: {self._told(row)}" for row in rows]
        plain = f"a plain run of {self.steps} steps takes {number(self.plain_seconds, 3)} s"
        return "\n".join([f"Plan({plain})", *told])

    def _told(self, row: Forecast) -> str:
        runs, memory = row.seconds / self.plain_seconds, row.bytes / 2**20
        told = f"{number(runs, 3)} plain runs, {number(memory, 3)} MiB"
        return "refused" if row.refused else told

    def fits(self, row: Forecast) -> bool:
        """Whether an engine is exact and can be used here, in half of the free memory."""
        return fits(row, self.free_bytes, self.present_bytes)


def plan(
    task: Task,
    optimizer: Optimizer,
    *,
    epochs: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    engines: Sequence[str | Engine] | None = None,
    sample: int = 8,
) -> Plan:
    """Predict time and peak memory of one hypergradient of the whole run, engine by engine.

    Each engine differentiates two short runs, several times in turns, and what they take is extended
    to the whole run of T steps::

        seconds = a + b (1 + sweep_cost(T)) T,    bytes = c + states_held(T) (bytes of a state)

    with `sweep_cost` and `states_held` by the :class:`~nongreedy.engines.Engine` itself. Looks at
    the validation loss are timed apart. Nothing of the short runs is kept.

    Args:
        task, optimizer, epochs, steps, seed, dtype: As in :func:`tune`.
        engines: Engines or their names, by preference, your own included; None is `Reverse` with
            each store, `Reversible`, `Forward` and `FiniteDifference`.
        sample: Steps of the longer run, at least 2. An engine that would take many seconds is
            measured in shorter ones; beyond that, its row is its own count of plain runs.

    Returns:
        Forecasts with their arithmetic, and a recommendation. What an engine raises is the reason
        of a refusal in its row.

    Raises:
        ValueError: Bad settings, or nothing to learn.
        DivergedError: Plain runs of a few steps diverge.

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
    free = free_bytes(task.device)
    chosen = _engines(problem, free) if engines is None else [engine_from(e) for e in engines]
    if not chosen:
        raise ValueError(
            f"`engines` must be None or name at least one engine, but got {engines!r}."
        )
    short = ShortRuns(problem, problem.initial, seed, sample)
    rows = tuple(forecast(short, engine) for engine in chosen)
    plain, _ = seconds_of(short.plain, problem.steps, float)
    return Plan(rows, problem.steps, plain, free, short.plain[1].bytes)


def _engines(problem: Problem, free: int) -> list[Engine]:
    """What ``engine="auto"`` chooses from."""
    graphs = graphs_of(problem.run(), free)
    first = [] if graphs is None else [Reverse(graphs)]
    return [*first, *engines_for(problem.task.device)]
