"""What holds on a GPU: agreement with the CPU, replay bit for bit, and what a hypergradient costs there.

``python -m benchmarks.gpu [--device cpu --small] [--out results/gpu.md]``. Each check is a row that says what
it found; one that raises says what was raised, and the next one goes on.
"""

from __future__ import annotations

import argparse
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.nn import functional

import nongreedy as ng
from nongreedy import testing

FLOAT64 = torch.float64


def relative(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """Largest difference, relative to the largest entry of each name."""
    return max(
        float((ours[n].cpu() - g.cpu()).abs().max() / g.abs().max().clamp(min=1e-300).cpu())
        for n, g in theirs.items()
    )


class Bench:
    """The checks of one device.

    Args:
        device: ``"cuda"``; or ``"cpu"`` to see that the script runs.
        small: Few steps.
    """

    def __init__(self, device: str, small: bool):
        self.device, self.small = device, small
        self.steps = 8 if small else 100

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def images(self, name: str) -> ng.Task:
        """A network on random images, which lie on the device."""
        batch_size = 8 if self.small else 128
        shape = (1, 28, 28) if name == "mlp" else (3, 32, 32)
        draw = torch.Generator().manual_seed(1)
        count = 2 * batch_size if self.small else 8 * batch_size
        data = (
            torch.randn(count, *shape, generator=draw).to(self.device),
            torch.randint(10, (count,), generator=draw).to(self.device),
        )
        make = ng.models.build(name, shape, 10)
        return ng.Task(
            make, functional.cross_entropy, data, data, batch_size=batch_size, device=self.device
        )

    def text(self) -> ng.Task:
        """A character transformer on random characters."""
        draw = torch.Generator().manual_seed(1)
        characters = torch.randint(65, (256, 65), generator=draw).to(self.device)
        data = characters[:, :-1].contiguous(), characters[:, 1:].contiguous()
        return ng.Task(
            lambda: ng.models.CharTransformer(65, 64, 64, 2, 4), functional.cross_entropy,
            data, data, batch_size=16, device=self.device,
        )  # fmt: skip

    def run(self, task: ng.Task, steps: int, dtype: torch.dtype = torch.float32) -> ng.Run:
        return ng.Problem(task, OPTIMIZER, steps, dtype).run(1)

    def hypergradient(
        self, task: ng.Task, steps: int, engine: ng.Engine, dtype: torch.dtype = torch.float32
    ) -> ng.Hypergradient:
        problem = ng.Problem(task, OPTIMIZER, steps, dtype)
        return engine.hypergradient(problem.run(1), problem.initial, list(problem.learned))

    def seconds(self, work: Callable[[], object]) -> float:
        self.wait()
        begin = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - begin


OPTIMIZER = ng.SGD(
    ng.Windows(7, initial=0.01),
    ng.Windows(1, initial=0.9, bounds=(0.1, 0.99)),
    ng.Windows(1, initial=5e-4),
)


def agreement(bench: Bench) -> Iterator[str]:
    """1, 2: every optimizer and model on the device against differences there, in float64."""
    engines = (ng.Reverse("device"), ng.Reverse("checkpoint"), ng.Forward())
    for model in testing.MODELS:
        worst, where, failed = 0.0, "", []
        for name, optimizer in testing.OPTIMIZERS.items():
            task = testing.tiny_task(model, device=bench.device)

            def at(
                engine: ng.Engine, task: ng.Task = task, optimizer: ng.Optimizer = optimizer
            ) -> dict:
                given = {"steps": 5, "engine": engine, "dtype": FLOAT64}
                return ng.hypergradient(task, optimizer, **given).gradients

            try:
                judge = at(ng.FiniteDifference(order=4, step=1e-4))
                for engine in engines:
                    off = relative(at(engine), judge)
                    if off >= worst:
                        worst, where = off, f"{name}, {engine!r}"
            except Exception as error:
                failed.append(f"{name}: {type(error).__name__} {error}".split("\n")[0][:150])
        said = f"; failed {len(failed)}, first: {failed[0]}" if failed else ""
        yield f"{model}: largest relative difference {worst:.1e} ({where}){said}"


def repeated_gradients(bench: Bench) -> Iterator[str]:
    """3, 4: one gradient twenty times; and what deterministic kernels cost."""
    tasks = {
        "lenet": bench.images("lenet"),
        "wrn-16-1": bench.images("wrn-16-1"),
        "text": bench.text(),
    }
    for name, task in tasks.items():
        run = bench.run(task, 8)
        start = run.initial()[0]
        for label, block in {"PyTorch as it is": nullcontext, "within a run": run.isolated}.items():
            with block():
                rows = [run.gradient(start, 1) for _ in range(4 if bench.small else 20)]
                spent = [
                    bench.seconds(lambda run=run, start=start: run.gradient(start, 1)) for _ in rows
                ]
            losses, gradients = {loss for loss, _ in rows}, [g for _, g in rows]
            same = sum(torch.equal(gradients[0], g) for g in gradients)
            yield (
                f"{name}, {label}: {same} of {len(gradients)} gradients of equal bits, {len(losses)} "
                f"different losses, {1e3 * statistics.median(spent):.2f} ms each"
            )


def stores(bench: Bench) -> Iterator[str]:
    """5: every store gives the same bits."""
    task, found = bench.images("wrn-16-1"), {}
    for store in ("device", "host", "disk", "checkpoint"):
        try:
            steps = max(8, bench.steps // 3)
            found[store] = bench.hypergradient(task, steps, ng.Reverse(store)).gradients
        except ng.ReplayError as error:
            yield f"{store}: ReplayError {str(error)[:120]}"
    first = found.pop("device")
    equal = {s: all(torch.equal(g[n], first[n]) for n in g) for s, g in found.items()}
    yield f"same bits as on the device: {equal}"


def reversible(bench: Bench) -> Iterator[str]:
    """6: integer runs are undone."""
    momentum = ng.Windows(1, initial=0.9, bounds=(0.1, 0.99))
    kinds = {
        "SGD": ng.SGD(ng.Windows(2, initial=0.01), momentum),
        "AdamW": ng.AdamW(ng.Windows(2, initial=1e-3)),
    }
    for name, optimizer in kinds.items():
        try:
            given = {"steps": max(8, bench.steps // 3)}
            there, stored = (
                ng.hypergradient(bench.images("wrn-16-1"), optimizer, engine=engine, **given)
                for engine in (ng.Reversible(), ng.Reverse("device"))
            )
            said = (
                f"undone; {relative(there.gradients, stored.gradients):.1e} from a run in float32"
            )
        except ng.NongreedyError as error:
            said = f"{type(error).__name__}: {str(error)[:120]}"
        yield f"{name}: {said}"


def precision(bench: Bench) -> Iterator[str]:
    """7: float32 against float64; runs switch TF32 off for themselves."""
    for name in ("lenet", "wrn-16-1"):
        for steps in dict.fromkeys((8, max(8, bench.steps // 2))):
            task = bench.images(name)
            exact = bench.hypergradient(task, steps, ng.Reverse("device"), FLOAT64).gradients
            found = bench.hypergradient(task, steps, ng.Reverse("device")).gradients
            yield f"{name}, {steps} steps: off by {relative(found, exact):.1e}"


def memory(bench: Bench) -> Iterator[str]:
    """8: what is free before and after, which store is chosen, and what the planner predicts."""
    problem = ng.Problem(bench.images("lenet"), OPTIMIZER, bench.steps)
    run = problem.run(1)
    from nongreedy.engines._store import free_bytes

    before = free_bytes(torch.device(bench.device))
    price = ng.Reverse().sweep_cost(run, problem.initial, list(problem.learned))
    ng.Reverse().hypergradient(run, problem.initial, list(problem.learned))
    after = free_bytes(torch.device(bench.device))
    again = ng.Reverse().sweep_cost(run, problem.initial, list(problem.learned))
    yield f"free before {before / 2**30:.2f} GiB, after {after / 2**30:.2f}"
    yield f"sweep_cost {price:g}, then {again:g}"
    plan = ng.plan(problem.task, OPTIMIZER, steps=bench.steps)
    for row in plan.forecasts:
        if row.refused or type(row.engine).__name__ == "FiniteDifference":
            continue
        if bench.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        work = lambda row=row: row.engine.hypergradient(run, problem.initial, list(problem.learned))  # noqa: E731
        spent = bench.seconds(work)
        peak = torch.cuda.max_memory_allocated() if bench.device == "cuda" else 0
        yield (
            f"{row.engine!r}: predicted {row.seconds:.2f} s, {row.bytes / 2**20:.0f} MiB; "
            f"measured {spent:.2f} s, {peak / 2**20:.0f} MiB"
        )


def inputs(bench: Bench) -> Iterator[str]:
    """10: tensors and names of devices as users give them."""
    weights = torch.ones(14, device=bench.device)
    task = testing.tiny_task(
        "mlp", ["example_weights"], device=bench.device,
        hyperparameters={"example_weights": ng.Variable(initial=weights)},
    )  # fmt: skip
    for verb, work in {
        "hypergradient": lambda: ng.hypergradient(task, ng.SGD(0.1), steps=4),
        "tune": lambda: ng.tune(task, ng.SGD(0.1), steps=4, outer_steps=1),
    }.items():
        try:
            work()
            yield f"Variable on the device, {verb}: runs"
        except Exception as error:
            yield f"Variable on the device, {verb}: {type(error).__name__}: {str(error)[:120]}"
    for name in [f"{bench.device}:0", "cuda:9"] if bench.device == "cuda" else ["cpu"]:
        try:
            ng.hypergradient(testing.tiny_task("mlp", device=name), ng.SGD(), steps=3)
            yield f"device {name!r}: runs"
        except Exception as error:
            yield f"device {name!r}: {type(error).__name__}: {str(error)[:120]}"


def cost(bench: Bench) -> Iterator[str]:
    """12: a hypergradient in plain runs of ``torch.optim``, medians of alternating turns."""
    steps = {"mlp": bench.steps, "lenet": bench.steps, "wrn-16-1": bench.steps // 2}
    for name, count in {**steps, "text": bench.steps}.items():
        task = bench.text() if name == "text" else bench.images(name)
        ways = {
            "plain": lambda task=task, count=count: plain(task, count),
            **{
                f"Reverse({store!r})": lambda task=task, count=count, store=store: (
                    bench.hypergradient(task, count, ng.Reverse(store))
                )
                for store in ("device", "checkpoint")
            },
        }
        turns: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(2 if bench.small else 6):
            for way, work in ways.items():
                spent = bench.seconds(work)
                if turn:  # the first warms up
                    turns[way].append(spent)
        unit = statistics.median(turns["plain"])
        rows = [
            f"{way} {statistics.median(t) / unit:.2f}" for way, t in turns.items() if way != "plain"
        ]
        yield f"{name}: plain {1e3 * unit / count:.2f} ms per step; " + ", ".join(rows)


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


def waits(bench: Bench) -> Iterator[str]:
    """11: how often the host waits in a step of the run and of the sweep."""
    from torch.profiler import ProfilerActivity, profile

    task, count = bench.images("lenet"), 20
    problem = ng.Problem(task, OPTIMIZER, count)
    run, learn = problem.run(1), list(problem.learned)
    engine = ng.Reverse("device")
    engine.hypergradient(run, problem.initial, learn)
    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if bench.device == "cuda" else [])
    for label in ("rollout", "sweep"):
        kept = engine.rollout(run, problem.initial, keep=True)
        with profile(activities=kinds) as profiled:
            if label == "rollout":
                engine.rollout(run, problem.initial, keep=True)
            else:
                engine.differentiate(kept, learn)
        events = {e.key: e.count for e in profiled.key_averages()}
        shown = {
            key: round(events.get(key, 0) / count, 1)
            for key in (
                "aten::_local_scalar_dense",
                "cudaStreamSynchronize",
                "cudaLaunchKernel",
                "cudaMemcpyAsync",
            )
        }
        yield f"{label}, per step: {shown}"


CHECKS = {
    "agreement": agreement, "gradients": repeated_gradients, "stores": stores, "reversible": reversible,
    "precision": precision, "cost": cost, "waits": waits, "memory": memory, "inputs": inputs,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    bench, lines = Bench(given.device, given.small), list[str]()
    name = torch.cuda.get_device_name() if given.device == "cuda" else "CPU"
    versions = f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}"

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    say(f"{name}, {versions}, {time.strftime('%F')}")
    for key in given.only:
        begin = time.perf_counter()
        say(f"\n## {CHECKS[key].__doc__}\n")
        try:
            for row in CHECKS[key](bench):
                say(f"- {row}")
        except Exception as error:
            traceback.print_exc()
            say(f"- ended by {type(error).__name__}: {str(error)[:200]}")
        say(f"\n({time.perf_counter() - begin:.0f} s)")
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
