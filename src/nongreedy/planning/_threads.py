"""How many threads a run is fastest with, of those that are free."""

import os
import statistics
import time
from pathlib import Path

import torch

from ..engines import Problem
from ..engines._run import at

_LOOK = 0.3  # seconds in which other processes are watched
_TURNS = 5
_SECONDS = 3.0  # at most, for all turns
_WORTH = 0.9  # of the time with fewer threads, that more of them must stay below


def free_cores() -> int:
    """Cores that no process uses now, of those that this one may use and shares with its machine's ranks;
    at least 1. Where the system does not tell what is idle, all of them are free."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    idle = _idle()
    if idle is not None:
        cores = min(cores, round(idle))
    return max(cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


def _idle() -> float | None:
    """Cores that were idle for a moment."""
    before = _ticks()
    time.sleep(_LOOK)
    after = _ticks()
    if before is None or after is None or after[1] == before[1]:
        return None
    return (os.cpu_count() or 1) * (after[0] - before[0]) / (after[1] - before[1])


def _ticks() -> tuple[int, int] | None:
    """Idle and all, of all cores."""
    try:
        row = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return None
    numbers = [int(number) for number in row]
    return numbers[3] + numbers[4], sum(numbers)


def fastest_threads(problem: Problem, seed: int = 0, most: int | None = None) -> int:
    """The smallest number of threads with which a step is nearly as fast as with any number up to `most`.

    Steps with their hypergradient are timed in turns, by 1, 2, 4, ... threads; medians are compared. On small
    networks one thread is as fast as two, and beside other processes two may be ten times slower.

    Args:
        most: None is what is free (:func:`free_cores`).
    """
    most = free_cores() if most is None else most
    counts = [2**k for k in range(most.bit_length())]
    if len(counts) == 1 or problem.task.device.type != "cpu":
        return 1
    before, times = torch.get_num_threads(), {count: list[float]() for count in counts}
    run, values = problem.run(seed), problem.run(seed).values(problem.initial)
    state, first = run.initial(at(values, 0)), at(values, 0)
    deadline = time.monotonic() + _SECONDS
    try:
        with run.isolated():
            for turn in range(_TURNS + 1):
                for count in counts:
                    torch.set_num_threads(count)
                    begin = time.perf_counter()
                    point = run.linearize(state[0], 0, first, list(problem.learned))
                    point.pull_back(point.gradient.detach())
                    if turn:  # the first one warms up
                        times[count].append(time.perf_counter() - begin)
                if turn and time.monotonic() > deadline:
                    break
    finally:
        torch.set_num_threads(before)
    best = 1
    for count in counts[1:]:
        if statistics.median(times[count]) < _WORTH * statistics.median(times[best]):
            best = count
    return best
