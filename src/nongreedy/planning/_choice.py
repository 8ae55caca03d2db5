"""Which engine to use: the rule that plans recommend by and that ``engine="auto"`` follows."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ..engines import Auto, Engine, FiniteDifference, Graphs, Problem, Reverse, Run, engine_from
from ..engines._free_memory import EASY, free_for
from ..errors import NongreedyError
from ..schedules import Schedule
from ._forecast import Forecast, engines_for, forecast
from ._short_runs import ShortRuns

_SLOWER = 1.5  # than a later engine: so slow must a disk be to be passed over
_DISK = Reverse("disk")
_SAMPLE = 4  # steps of the longer run, where a choice has to be measured
_UNMEASURED = "by sizes alone, because nothing could be measured: "


@dataclass(frozen=True)
class Choice:
    """An engine, and the reason for it; none where it was asked for."""

    engine: Engine
    reason: str = ""


def fits(row: Forecast, free: int, present: int) -> bool:
    """Whether an engine is exact, and takes no more than half of the free bytes beyond the present ones."""
    return not row.inexact and not row.refused and row.bytes - present <= free / 2


def choose(rows: Iterable[Forecast], free: int, present: int) -> Choice | None:
    """The first that fits; of later rows only those are looked at that may change the choice.

    Timings scatter, and a repetition must choose the same, so they decide as little as possible:
    in units of gradients no later engine is half as dear as an earlier one, and the first ones have
    the same bits as result. Only what a disk takes is no matter of gradients.
    """
    fitting = (row for row in rows if fits(row, free, present))
    first = next(fitting, None)
    if first is None:
        return None
    if first.engine == _DISK:
        best = min(fitting, key=lambda row: row.seconds, default=None)
        if best is not None and first.seconds >= _SLOWER * best.seconds:
            gain = first.seconds / best.seconds
            return Choice(best.engine, f"predicted {gain:.1f} times as fast as {_DISK}")
    return Choice(first.engine, "the first that fits in half of the free memory")


def settle(engine: str | Engine, problem: Problem, schedule: Schedule, seed: int = 0) -> Choice:
    """The engine of a name, with nothing left open; for ``"auto"`` what the planner chooses.

    Nothing is measured where sizes alone decide, and nothing of the run is changed by it. Where
    measuring fails, say because the first steps diverge, sizes alone decide, too.
    """
    if engine != "auto":
        return Choice(engine_from(engine).settled(problem.run(seed)))
    if problem.task.shards.many:  # ranks that measure may choose differently
        return _by_size(problem, schedule, seed) or Choice(Reverse().settled(problem.run(seed)))
    return _by_size(problem, schedule, seed) or _by_sample(problem, schedule, seed) or Choice(
        Reverse(), "no engine is sure to fit in half of the free memory"
    )  # fmt: skip


def _by_size(problem: Problem, schedule: Schedule, seed: int) -> Choice | None:
    """The first store whose states easily fit, unless one before it may fit, too; and graphs that do."""
    run, device = problem.run(seed), problem.task.device
    free = free_for(problem.task, device)
    if (store := graphs_of(run, free)) is not None:
        last, took = store.kept(run), round(store.states_held(run) * run.state_bytes)
        return Choice(
            Reverse(store),
            f"the graphs of {_of(last, run.steps)} steps take {_size(took)}, which easily fits",
        )
    for engine in engines_for(device):
        if not isinstance(engine, Reverse) or engine == _DISK:
            break
        on_host = engine == Reverse("host")
        held = run.steps if on_host else engine.states_held(run, schedule, problem.learned)
        size = round(held * run.state_bytes)
        there = free_for(problem.task, torch.device("cpu")) if on_host else free
        if size <= there / 4:
            return Choice(engine, f"its states take {_size(size)}, which easily fits")
        if size <= there / 2:
            break
    return None


def graphs_of(run: Run, free: int) -> Graphs | None:
    """As many graphs, beside all states, as easily fit."""
    store = Auto(max(int(free * EASY), 1)).settled(run)
    return store if isinstance(store, Graphs) else None


def _of(last: int, steps: int) -> str:
    return f"all {steps}" if last == steps else f"the last {last} of {steps}"


def _size(count: int) -> str:
    unit, power = ("GiB", 30) if count >= 2**30 else ("MiB", 20)
    return f"{count / 2**power:.1f} {unit}"


def _by_sample(problem: Problem, schedule: Schedule, seed: int) -> Choice | None:
    try:
        short = ShortRuns(problem, schedule, seed, _SAMPLE)
    except (NongreedyError, MemoryError, torch.OutOfMemoryError) as error:
        return Choice(Reverse(), f"{_UNMEASURED}{error}")
    free, present = free_for(problem.task, problem.task.device), short.plain[1].bytes
    exact = [e for e in engines_for(problem.task.device) if not isinstance(e, FiniteDifference)]
    rows = (forecast(short, engine) for engine in exact)
    first = next(rows)
    if first.refused:
        return Choice(Reverse(), f"{_UNMEASURED}{first.refused}")
    return choose(itertools.chain([first], rows), free, present)
