"""Which engine to use: the rule that plans recommend by and that ``engine="auto"`` follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from ..engines import Engine, FiniteDifference, Problem, Reverse, Run, engine_from
from ..engines._store import free_bytes
from ..errors import NongreedyError
from ..schedules import Schedule
from ._forecast import Forecast, forecasts, held, stores
from ._walk import Walk

_SLOWER = 1.5  # than a later engine: so slow must a disk be to be passed over
_DISK = Reverse("disk")
_SAMPLE = 4  # steps in each way, where a choice has to be measured


@dataclass(frozen=True)
class Choice:
    """An engine, and the reason for it; none where it was asked for."""

    engine: Engine
    reason: str = ""


class Room:
    """What may still be taken: half of the free memory.

    Args:
        free: Bytes that are free.
        present: Bytes that are held already, at the peak of a plain step.
    """

    def __init__(self, free: int, present: int):
        self.free, self.present = free, present

    def takes(self, row: Forecast) -> bool:
        """Whether an exact engine can be used here."""
        exact = not isinstance(row.engine, FiniteDifference)
        return exact and not row.refused and row.bytes - self.present <= self.free / 2


def choose(rows: Iterable[Forecast], takes: Callable[[Forecast], bool]) -> Choice | None:
    """The first that fits; of later rows only those are looked at that may change the choice.

    Timings scatter, and a repetition must choose the same, so they decide as little as possible:
    in units of gradients no later engine is half as dear as an earlier one, and the first ones have
    the same bits as result. Only what a disk takes is no matter of gradients.
    """
    rows = iter(rows)
    first = next((row for row in rows if takes(row)), None)
    if first is None:
        return None
    if first.engine == _DISK:
        quick = [row for row in rows if takes(row) and first.seconds >= _SLOWER * row.seconds]
        if quick:
            best = min(quick, key=lambda row: row.seconds)
            gain = first.seconds / best.seconds
            return Choice(best.engine, f"predicted {gain:.1f} times as fast as {_DISK}")
    return Choice(first.engine, "the first that fits in half of the free memory")


def settle(engine: str | Engine, problem: Problem, schedule: Schedule, seed: int = 0) -> Choice:
    """The engine of a name; for ``"auto"`` what the planner chooses.

    Nothing is measured where sizes alone decide, and nothing of the run is changed by it. Where
    measuring fails, say because the first steps diverge, sizes alone decide, too.
    """
    if engine != "auto":
        return Choice(engine_from(engine))
    run = problem.run(seed)
    return _by_size(run) or _by_sample(run, schedule, list(problem.learned)) or Choice(
        Reverse(), "no engine is sure to fit in half of the free memory"
    )  # fmt: skip


def _by_size(run: Run) -> Choice | None:
    """The first store whose states easily fit, unless one before it may fit, too."""
    for store in stores(run.task.device):
        size, free = _size(run, store), free_bytes(_home(store, run.task.device))
        if store != "disk" and size <= free / 4:
            return Choice(Reverse(store), f"its states take {_amount(size)}, which easily fits")
        if size <= free / 2:
            return None
    return None


def _by_sample(run: Run, schedule: Schedule, learn: Sequence[str]) -> Choice | None:
    walk = Walk(run, schedule, learn, _SAMPLE)
    try:
        core = walk.core(stores(run.task.device))
        room = Room(free_bytes(run.task.device), core.step.bytes)
        return choose(forecasts(walk, core), room.takes)
    except (NongreedyError, MemoryError, torch.OutOfMemoryError) as error:
        return Choice(Reverse(), f"by sizes alone, because nothing could be measured: {error}")


def _size(run: Run, store: str) -> int:
    """Bytes of the states where a store keeps them."""
    count = run.steps if store == "host" else held(store, run.steps)
    return count * run.state_bytes


def _home(store: str, device: torch.device) -> torch.device:
    return torch.device("cpu") if store == "host" else device


def _amount(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
