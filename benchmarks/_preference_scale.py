"""Row 4 and EV7: time of a gradient step against the number of items; time and memory at a million; what
approximate search saves there, and its recall."""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import torch

from nongreedy.preference import Belief, Catalogue, Gaussian, Query, evoi
from nongreedy.preference._expected import ascent
from nongreedy.preference.strategies import Approximate, Relaxed
from nongreedy.protocols import FeasibleSet, generator

from ._preference_rows import Rows

COUNTS = (10_000, 100_000)
SEARCHES = (
    (100_000, 10, "lists"),
    (100_000, 10, "graph"),
    (10**6, 10, "lists"),
    (10**6, 32, "lists"),
)
_MILLION = "from benchmarks._preference_scale import million; print(million())"


def catalogue(count: int, attributes: int) -> Catalogue:
    points = torch.randn(count, attributes, generator=generator(77), dtype=torch.float64)
    return Catalogue(points / attributes**0.5)


def step_seconds(belief: Belief, reach: FeasibleSet, items: Catalogue, slots: int = 2) -> float:
    """Of the processor, for the fastest of several gradient steps: what the machine does beside only adds."""
    slates, found = items.points[: 12 * slots].reshape(12, slots, -1), []
    for _ in range(9):
        started = time.thread_time()
        ascent(belief, slates, reach, belief.response)
        found.append(time.thread_time() - started)
    return min(found)


def question(items: Catalogue) -> str:
    """The fastest of three questions: its time, and that of the processor."""
    belief, found = Belief(Gaussian.standard(items.points.shape[1]), samples=512), []
    for seed in range(3):
        wall, work = time.perf_counter(), time.process_time()
        Relaxed().choose(belief, items, 2, seed)
        found.append((time.perf_counter() - wall, time.process_time() - work))
    wall, work = (min(times) for times in zip(*found, strict=True))
    return f"Relaxed(), {tuple(items.points.shape)}, k = 2: {wall:.2f} s, {work:.2f} s of the processor"


def million() -> str:
    """EVOI of five slots at n = 10^6, and the question that we ask; in a process of its own."""
    torch.set_num_threads(1)
    items = catalogue(1_000_000, 10)
    belief = Belief(Gaussian.standard(10), samples=512)
    started = time.perf_counter()
    value = evoi(belief, Query(items.points[:5]), items)
    middle = time.perf_counter()
    Relaxed().choose(belief, items, 5, 0)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        f"n = 10^6, d = 10, k = 5: EVOI {value.value:.3f} in {middle - started:.2f} s, Relaxed() in "
        f"{ended - middle:.1f} s, peak memory of the process {peak:.2f} GiB"
    )


def searches(count: int, attributes: int, kind: str) -> str:
    """Processor time for the best items of 513 directions, exactly and approximately, and of a question."""
    items, belief = catalogue(count, attributes), Belief(Gaussian.standard(attributes), samples=512)
    directions = torch.cat([belief.mean[None], belief.utilities])
    search = Approximate(kind, recall=0.9)
    exact = processor(lambda: items.best(directions))
    built = processor(lambda: search.index(items), times=1)
    index = search.index(items)
    index.best(directions, generator(0))  # finds its effort
    found = processor(lambda: index.best(directions, generator(1)))
    asked = [
        processor(lambda s=strategy: s.choose(belief, items, 2, 0))
        for strategy in (Relaxed(), Relaxed(search=search))
    ]
    return (
        f"{count} | {attributes} | {kind} | {exact:.2f} | {built:.2f} | {found:.2f} | "
        f"{index.measured:.2f} | {asked[0]:.2f} | {asked[1]:.2f}"
    )


def processor(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of the processor, the fastest of several."""
    found = list[float]()
    for _ in range(times):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def scale(rows: Rows, options: argparse.Namespace) -> list[str]:
    """Nothing is kept: times of another day are another machine's."""
    del rows, options
    belief, lines = Belief(Gaussian.standard(10), samples=512), ["n | catalogue, ms | ball, ms"]
    times = dict[str, list[float]]()
    for count in COUNTS:
        items = catalogue(count, 10)
        for name, reach in (("catalogue", items), ("ball", items.relaxed)):
            times.setdefault(name, []).append(step_seconds(belief, reach, items))
        lines.append(
            f"{count} | {times['catalogue'][-1] * 1e3:.2f} | {times['ball'][-1] * 1e3:.2f}"
        )
    lines.append(" | ".join(["ratio", *(f"{b / a:.2f}" for a, b in times.values())]))
    for count, attributes in ((1_682, 20), (100_000, 10), (100_000, 20)):
        lines.append(question(catalogue(count, attributes)))
    done = subprocess.run(
        [sys.executable, "-c", _MILLION], capture_output=True, text=True, check=True
    )
    lines.append(done.stdout.strip())
    if find_spec("faiss") is None:
        return [*lines, "approximate search: faiss is not installed"]
    lines.append(
        "n | d | kind | exact, s | index, s | found, s | recall | question, s | with it, s"
    )
    return [*lines, *(searches(*each) for each in SEARCHES)]
