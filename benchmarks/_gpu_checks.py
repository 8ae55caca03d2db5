"""The twelve checks of a first run on a GPU (the twelfth, cost, has a table of its own)."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from contextlib import nullcontext
from pathlib import Path

import torch

import nongreedy as ng
from nongreedy import testing
from nongreedy.engines._free_memory import free_bytes

from ._gpu_cases import Bench, Rows, relative

MOMENTUM = ng.Windows(1, initial=0.9, bounds=(0.1, 0.99))
DEEP = "wrn-16-1"


def repeated(bench: Bench) -> Rows:
    """3, 4: one gradient many times; and what deterministic kernels cost."""
    for name in ("lenet", DEEP, "transformer"):
        run = bench.problem(bench.task(name), 8).run(1)
        start = run.initial()[0]
        for label, block in {"PyTorch as it is": nullcontext, "within a run": run.isolated}.items():
            with block():
                rows = [run.gradient(start, 1) for _ in range(4 if bench.small else 20)]
                work = lambda run=run, start=start: run.gradient(start, 1)  # noqa: E731
                spent = statistics.median(bench.seconds(work) for _ in rows)
            losses, gradients = {loss for loss, _ in rows}, [g for _, g in rows]
            same = sum(torch.equal(gradients[0], g) for g in gradients)
            yield (
                f"{name}, {label}",
                f"{same} of {len(gradients)} gradients of equal bits, {len(losses)} different losses, "
                f"{1e3 * spent:.2f} ms each",
            )


def stores(bench: Bench) -> Rows:
    """5: every store gives the same bits."""
    task, steps = bench.task(DEEP), max(8, bench.steps // 3)
    first = bench.hypergradient(task, steps, ng.Reverse("device")).gradients
    for store in ("graphs", "host", "disk", "checkpoint"):
        try:
            found = bench.hypergradient(task, steps, ng.Reverse(store)).gradients
            said = "yes" if all(torch.equal(found[n], first[n]) for n in first) else "NO"
        except ng.ReplayError as error:
            said = f"ReplayError {str(error)[:120]}"
        yield f"{store}: same bits as device", said


def reversible(bench: Bench) -> Rows:
    """6: integer runs are undone."""
    kinds = {
        "SGD": ng.SGD(ng.Windows(2, initial=0.01), MOMENTUM),
        "AdamW": ng.AdamW(ng.Windows(2, initial=1e-3)),
    }
    for name, optimizer in kinds.items():
        try:
            given = {"steps": max(8, bench.steps // 3)}
            there, stored = (
                ng.hypergradient(bench.task(DEEP), optimizer, engine=engine, **given).gradients
                for engine in (ng.Reversible(), ng.Reverse("device"))
            )
            said = f"undone; {relative(there, stored):.1e} from a run in float32"
        except ng.NongreedyError as error:
            said = f"{type(error).__name__}: {str(error)[:120]}"
        yield name, said


def precision(bench: Bench) -> Rows:
    """7: float32 and a run under autocast against float64 (TF32 is off within runs)."""
    device = ng.Reverse("device")
    for name in ("lenet", DEEP):
        for steps in dict.fromkeys((8, max(8, bench.steps // 2))):
            task = bench.task(name)
            exact = bench.hypergradient(task, steps, device, torch.float64).gradients
            found = bench.hypergradient(task, steps, device).gradients
            yield f"{name}, {steps} steps, float32", f"off by {relative(found, exact):.1e}"
            coarse = bench.hypergradient(bench.task(name, coarse=True), steps, device).gradients
            apart = f"{relative(coarse, exact):.1e} from float64's, another run"
            yield f"{name}, {steps} steps, a run under autocast", apart


def memory(bench: Bench) -> Rows:
    """8: what is free before and after, and which store is chosen, twice."""
    problem, device = bench.problem(bench.task("lenet"), bench.steps), torch.device(bench.device)
    run, learn, engine = problem.run(1), list(problem.learned), ng.Reverse()
    before, price = free_bytes(device), engine.sweep_cost(run, problem.initial, learn)
    engine.hypergradient(run, problem.initial, learn)
    after, again = free_bytes(device), engine.sweep_cost(run, problem.initial, learn)
    yield "free", f"{before / 2**30:.2f} GiB before a hypergradient, {after / 2**30:.2f} after"
    yield "sweep_cost", f"{price:g}, then {again:g}"


def crowded(bench: Bench) -> Rows:
    """9: a search whose kept rollouts would not fit into memory together."""
    width = 64 if bench.small else 3000
    x, y = torch.randn(256, 28, device=bench.device), torch.randint(10, (256,), device=bench.device)
    make = lambda: torch.nn.Sequential(  # noqa: E731
        torch.nn.Linear(28, width), torch.nn.Tanh(), torch.nn.Linear(width, width), torch.nn.Tanh(),
        torch.nn.Linear(width, 10),
    )  # fmt: skip
    task = ng.Task(
        make,
        torch.nn.functional.cross_entropy,
        (x[64:], y[64:]),
        (x[:64], y[:64]),
        batch_size=64,
        device=bench.device,
    )
    steps = 6 if bench.small else 20
    kept = bench.problem(task, steps).run(1).state_bytes * steps
    ballast = []
    if bench.device == "cuda":  # leave room for two and a half
        rest = int(2.5 * kept) + 2**30
        while (more := min(free_bytes(x.device) - rest, 8 * 2**30)) > 2**20:
            ballast.append(torch.empty(more, dtype=torch.uint8, device=x.device))
    room = f"a rollout is {kept / 2**20:.0f} MiB of {free_bytes(x.device) / 2**20:.0f} free"
    try:
        ng.tune(task, ng.SGD(ng.Windows(2)), steps=steps, seeds=3, outer_steps=2, progress=False)
        yield room, "runs"
    except torch.OutOfMemoryError as error:
        yield room, f"out of memory: {str(error)[:120]}"


class Broken(ng.Callback):
    """Ends a search after so many inner steps, as a keyboard does."""

    def __init__(self, after: int):
        self.left = after

    def on_inner_step(self, step: int, steps: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def resumed(bench: Bench) -> Rows:
    """10: a search that is broken off goes on to the same bits."""
    task = bench.task("lenet")
    given: dict = {"steps": 8, "outer": "paper", "outer_steps": 3, "progress": False}
    whole = ng.tune(task, ng.SGD(ng.Windows(2)), **given).schedule
    for after in (3, 12, 29):
        with tempfile.TemporaryDirectory() as folder:
            given["study"] = str(Path(folder) / "study.db")
            broken = Broken(after)
            with contextlib.suppress(KeyboardInterrupt):  # later it returns what it has
                ng.tune(task, ng.SGD(ng.Windows(2)), callbacks=[broken], **given)
            again = ng.tune(task, ng.SGD(ng.Windows(2)), **given).schedule
        said = "the same schedule" if again == whole else "ANOTHER SCHEDULE"
        yield (
            f"broken off after {after} inner steps",
            "NEVER BROKEN OFF" if broken.left > 0 else said,
        )


def inputs(bench: Bench) -> Rows:
    """10: tensors and names of devices as users give them."""
    weights = torch.ones(testing.COUNT, device=bench.device)
    task = testing.tiny_task(
        "mlp", ["example_weights"], device=bench.device,
        hyperparameters={"example_weights": ng.Variable(initial=weights)},
    )  # fmt: skip
    works = {
        "Variable on the device, hypergradient": lambda: ng.hypergradient(
            task, ng.SGD(0.1), steps=4
        ),
        "Variable on the device, tune": lambda: ng.tune(
            task, ng.SGD(0.1), steps=4, outer_steps=1, progress=False
        ),
    }
    names = [f"{bench.device}:0", "cuda:1", "cuda:99"] if bench.device == "cuda" else ["cpu"]
    for name in names:
        works[f"device {name!r}"] = lambda name=name: ng.hypergradient(
            testing.tiny_task("mlp", device=name), ng.SGD(), steps=3
        )
    for label, work in works.items():
        try:
            work()
            yield label, "runs"
        except Exception as error:
            yield label, f"{type(error).__name__}: {str(error)[:120]}"


def waits(bench: Bench) -> Rows:
    """11: how often the host waits in a step of the run and of the sweep."""
    from torch.profiler import ProfilerActivity, profile

    count, engine = 20, ng.Reverse("device")
    shown = (
        "aten::_local_scalar_dense",
        "cudaStreamSynchronize",
        "cudaLaunchKernel",
        "cudaMemcpyAsync",
    )
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.device == "cuda" else [])
    for name in ("lenet", DEEP):
        problem = bench.problem(bench.task(name), count)
        run, learn = problem.run(1), list(problem.learned)
        engine.hypergradient(run, problem.initial, learn)
        for label in ("rollout", "sweep"):
            kept = engine.rollout(run, problem.initial, keep=True)
            with profile(activities=kinds) as profiled:
                if label == "rollout":
                    engine.rollout(run, problem.initial, keep=True)
                else:
                    engine.differentiate(kept, learn)
            events = {e.key: e.count / count for e in profiled.key_averages()}
            said = ", ".join(f"{key} {events.get(key, 0):.1f}" for key in shown)
            yield f"{name}, {label}, per step", said


def unaligned(bench: Bench) -> Rows:
    """Finding 19: weights are views of one vector, at any offset. What that costs a product."""
    size = 64 if bench.small else 1024
    flat, x = (torch.randn(n, device=bench.device) for n in (size * size + 16, size * size))
    x = x.view(size, size)
    for offset in (0, 1, 4):
        weight = flat[offset : offset + size * size].view(size, size)
        work = lambda weight=weight: [torch.nn.functional.linear(x, weight) for _ in range(20)]  # noqa: E731
        spent = statistics.median(bench.seconds(work) for _ in range(7))
        yield f"offset of {offset} numbers, {size} x {size}", f"{1e6 * spent / 20:.1f} us a product"


CHECKS = (
    repeated, stores, reversible, precision, memory, crowded, resumed, inputs, waits, unaligned,
)  # fmt: skip
