"""The device's rows of the conformance table, in float64."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn

import nongreedy as ng
from nongreedy import testing

from ._gpu_cases import Bench, Rows, relative

FLOAT64 = torch.float64
STORES = ("graphs", "device", "host", "disk", "checkpoint")
# The task's name of what the optimizer cannot reach.
OWN = "example_weights"


def still(make: Callable[[], nn.Module]) -> nn.Module:
    """A network without dropout, which each kind of device draws otherwise."""
    module = make()
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, nn.MultiheadAttention):
            part.dropout = 0.0
    return module


def optimizers_of(bench: Bench) -> dict[str, ng.Optimizer]:
    """All of the table; three in a rehearsal."""
    rows = testing.OPTIMIZERS
    return {name: rows[name] for name in list(rows)[: 3 if bench.small else None]}


def found(device: str, model: str, optimizer: ng.Optimizer, engine: ng.Engine) -> dict:
    """A hypergradient through five steps."""
    learn = [OWN] if isinstance(engine, (ng.EvoGrad, ng.Implicit)) else []
    make = functools.partial(still, testing.MODELS[model][0])
    task = testing.tiny_task(model, learn, model=make, device=device, verify=False)
    run = ng.Run(task, optimizer, testing.STEPS, dtype=FLOAT64)
    own = {**optimizer.hyperparameters(testing.STEPS), **task.hyperparameters(testing.STEPS)}
    names = learn or [name for name, hyper in own.items() if hyper.learned]
    return engine.hypergradient(run, ng.Schedule.initial(own), names).gradients


def same_as_cpu(bench: Bench) -> Rows:
    """1: every optimizer by every engine on the device, against the same on the CPU."""
    engines, optimizers = testing.ENGINES, optimizers_of(bench)
    models = ("mlp",) if bench.small else tuple(testing.MODELS)
    for model in models:
        for name, optimizer in optimizers.items():
            rows, refused = dict[str, float](), list[str]()
            for label, engine in engines.items():
                try:
                    there, here = (
                        found(d, model, optimizer, engine) for d in (bench.device, "cpu")
                    )
                    rows[label] = relative(there, here)
                except (ValueError, TypeError, ng.NongreedyError) as error:
                    refused.append(f"{label} ({type(error).__name__})")
            worst = max(rows, key=rows.__getitem__, default="")
            yield (
                model, name, len(rows), f"{rows[worst]:.1e} ({worst})" if rows else "",
                ", ".join(refused),
            )  # fmt: skip
            if model != models[0]:
                engines = {n: e for n, e in engines.items() if n.startswith(("reverse", "forward"))}


def differences(bench: Bench) -> Rows:
    """1, 2: every optimizer and model, dropout too, against differences on the device."""
    engines = (ng.Reverse("device"), ng.Reverse("checkpoint"), ng.Forward())
    judge = ng.FiniteDifference(order=4, step=1e-4)
    optimizers = optimizers_of(bench)
    for model in ("mlp",) if bench.small else testing.MODELS:
        for name, optimizer in optimizers.items():
            task = testing.tiny_task(model, device=bench.device)
            given = {"steps": testing.STEPS, "dtype": FLOAT64}
            try:
                judged = ng.hypergradient(task, optimizer, engine=judge, **given).gradients
                off = [
                    relative(ng.hypergradient(task, optimizer, engine=e, **given).gradients, judged)
                    for e in engines
                ]
                said = f"{max(off):.1e}"
            except Exception as error:
                said = f"{type(error).__name__}: {str(error).splitlines()[0][:100]}"
            yield model, name, said


def replayed(bench: Bench) -> Rows:
    """Replay: a hypergradient from each store, and twice, bit for bit."""
    for model in ("conv_net",) if bench.small else testing.MODELS:
        apart = []
        for name, optimizer in optimizers_of(bench).items():
            task = testing.tiny_task(model, device=bench.device, verify=False)
            given = {"steps": testing.STEPS, "dtype": torch.float32}
            rows = [
                ng.hypergradient(task, optimizer, engine=ng.Reverse(s), **given).gradients
                for s in (*STORES, "device")
            ]
            if not all(torch.equal(row[n], rows[0][n]) for row in rows for n in row):
                apart.append(name)
        yield model, len(optimizers_of(bench)), ", ".join(apart) or "none"
