"""What a hypergradient costs on a device: time, precision and memory."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from functools import partial

import nongreedy as ng
from nongreedy.engines import Rollout
from nongreedy.engines._runner import autocasts

from ._cost_turns import take_turns
from ._gpu_cases import MIB, NETWORKS, Bench, Rows, plain, relative, tried

STORES = ("graphs", "device", "checkpoint")
ACCUMULATE = (1, 2, 4, 8)


def _steps(bench: Bench, name: str) -> int:
    return max(bench.steps // 2, 8) if name == "wrn-16-1" else bench.steps


def cost(bench: Bench) -> Rows:
    """12: in plain ``torch.optim`` runs, medians of alternating turns; plainly, and under autocast."""
    for name in NETWORKS:
        for precision in ("float32", "bfloat16"):
            yield name, precision, *tried(4, _cost, bench, name, precision == "bfloat16")


def _cost(bench: Bench, name: str, coarse: bool) -> list[str]:
    task, steps = bench.task(name, coarse), _steps(bench, name)

    def body(store: str) -> Callable[[], object]:
        work = partial(bench.hypergradient, task, steps, ng.Reverse(store))
        work()  # loads and allocates
        return partial(bench.seconds, work)

    bodies, turns = {store: body(store) for store in STORES}, 1 if bench.small else 5
    unit = partial(bench.seconds, partial(plain, task, steps))
    base, found = take_turns(unit, [bodies], turns, dear=1e9)
    said = [f"{found[store].median:.2f} ({found[store].span})" for store in STORES]
    return [f"{1e3 * statistics.median(base.seconds) / steps:.2f} ms", *said]


def coarse_sweeps(bench: Bench) -> Rows:
    """A float32 run, swept with products in bfloat16: what it would save, and what it would cost.

    The library does not offer it. Whoever decides that needs these two columns.
    """
    for name in NETWORKS:
        yield name, *tried(3, _coarse_sweep, bench, name)


def _coarse_sweep(bench: Bench, name: str) -> list[str]:
    steps, engine, found = _steps(bench, name), ng.Reverse("device"), {}
    problem = bench.problem(bench.task(name), steps)
    run, learn, spent = problem.run(1), list(problem.learned), {False: [], True: []}
    for turn in range(2 if bench.small else 4):
        for coarse in (False, True):
            kept = engine.rollout(run, problem.initial, keep=True)

            def work(coarse: bool = coarse, kept: Rollout = kept) -> None:
                kept.autocast = autocasts()  # what is refused elsewhere is measured here
                found[coarse] = engine.differentiate(kept, learn).gradients

            with bench.coarse_products() if coarse else contextlib.nullcontext():
                seconds = bench.seconds(work)
            if turn:  # the first one warms up
                spent[coarse].append(seconds)
    full, less = (statistics.median(spent[coarse]) for coarse in (False, True))
    apart = relative(found[True], found[False])
    return [f"{1e3 * full / steps:.2f} ms", f"{less / full:.2f}", f"{apart:.1e}"]


def memory(bench: Bench) -> Rows:
    """8: the planner's forecast beside the measured."""
    name, problem = "lenet", bench.problem(bench.task("lenet"), bench.steps)
    plan = ng.plan(problem.task, problem.optimizer, steps=bench.steps)
    run, learn = problem.run(1), list(problem.learned)
    for row in plan.forecasts:
        if row.refused or isinstance(row.engine, ng.FiniteDifference):
            continue
        spent = list[float]()

        def work(row=row, spent=spent) -> None:
            body = lambda: row.engine.hypergradient(run, problem.initial, learn)  # noqa: E731
            spent.append(bench.seconds(body))

        peak = bench.peak(work)
        yield (
            name, repr(row.engine), f"{row.seconds:.2f} s", f"{spent[0]:.2f} s",
            f"{row.bytes / MIB:.0f} MiB", f"{peak / MIB:.0f} MiB",
        )  # fmt: skip


def accumulated(bench: Bench) -> Rows:
    """Micro-batches: the peak of a step's double backward, and what it takes."""
    for count in ACCUMULATE:
        yield "transformer", count, *tried(2, _accumulated, bench, count)


def _accumulated(bench: Bench, count: int) -> list[str]:
    steps, engine, spent = 8, ng.Reverse("device"), list[float]()
    size = 8 if bench.small else 128
    problem = bench.problem(bench.task("transformer", batch_size=size, accumulate=count), steps)
    run, learn = problem.run(1), list(problem.learned)
    for _ in range(2):  # the first one warms up
        kept = engine.rollout(run, problem.initial, keep=True)
        work = partial(engine.differentiate, kept, learn)
        peak = bench.peak(lambda work=work: spent.append(bench.seconds(work)))
    return [f"{peak / MIB:.0f} MiB", f"{1e3 * spent[-1] / steps:.1f} ms"]
