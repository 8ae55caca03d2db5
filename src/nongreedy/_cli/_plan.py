"""``nongreedy plan``: what one hypergradient will take, before anything is spent."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import nongreedy as ng
from nongreedy._planner import Forecast, Plan

from ._console import duration
from ._problem import reported
from ._target import (
    BatchSizeOption,
    DataOption,
    DeviceOption,
    EpochsOption,
    ModelOption,
    TargetArgument,
    ThreadsOption,
    TrainExamplesOption,
    WindowsOption,
    settled,
)


def plan(
    target: TargetArgument = None,
    data: DataOption = None,
    model: ModelOption = None,
    epochs: EpochsOption = 10,
    batch_size: BatchSizeOption = None,
    windows: WindowsOption = None,
    device: DeviceOption = None,
    train_examples: TrainExamplesOption = None,
    threads: ThreadsOption = None,
    sample: Annotated[int, typer.Option(min=1, help="Steps to measure in each way.")] = 8,
) -> None:
    """Predict time and memory of one hypergradient for every engine, from a few measured steps."""
    given = dict(locals())
    with reported():
        chosen, optimizer, steps = settled(given)
        found = ng.plan(chosen.task, optimizer, steps=steps, sample=sample)
        console = Console(highlight=False, soft_wrap=True)
        console.print(
            f"{chosen.name}: {steps} steps. A plain run takes {duration(found.plain_seconds)}; "
            f"{found.free_bytes / 2**30:.1f} GiB are free. One hypergradient:\n"
        )
        console.print(_table(found))
        for row in found.forecasts:
            if row.refused:
                console.print(f"\n{type(row.engine).__name__}: {row.refused}")
        console.print(f"\nRecommended: {_label(found.recommended)}")


def _table(found: Plan) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("engine", "seconds", "plain runs", "peak memory", "seconds ="):
        left = heading in ("engine", "seconds =")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in found.forecasts:
        if not row.refused:
            table.add_row(*_cells(found, row))
    return table


def _cells(found: Plan, row: Forecast) -> tuple[str, ...]:
    runs = row.seconds / found.plain_seconds
    memory = f"{row.bytes / 2**20:.0f} MiB"
    return _label(row.engine), f"{row.seconds:.3g}", f"{runs:.1f}", memory, row.arithmetic


def _label(engine: ng.Engine) -> str:
    """As ``--engine`` takes it."""
    if isinstance(engine, ng.Reverse):
        return f"reverse:{engine.store}"
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(engine).__name__)
    return words.removeprefix("_")
