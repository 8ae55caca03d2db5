"""``nongreedy trust``: whether the hypergradients of a task are worth following."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import nongreedy as ng

from . import _config
from . import _target as options
from ._exit import reported

if TYPE_CHECKING:
    from ._load import Target


def trust(
    target: options.Argument = None,
    data: options.Data = None,
    column: options.Column = None,
    drop: options.Drop = None,
    model: options.Model = None,
    epochs: options.Epochs = 10,
    batch_size: options.BatchSize = None,
    knots: options.Knots = None,
    windows: options.Windows = None,
    device: options.Device = None,
    train_examples: options.TrainExamples = None,
    threads: options.Threads = None,
    schedule: Annotated[
        Path | None,
        typer.Option(help="Where to differentiate.", show_default="the optimizer's first values"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Hypergradients to compare.")] = 4,
    engine: Annotated[str, typer.Option(help="As of `nongreedy tune`.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Decides the seeds of the runs.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    config: _config.Option = None,
) -> None:
    """Say whether hypergradients stand out of their noise, and what a search may gain.

    It takes about as much as 6 plain runs for each seed.
    """
    settings = dict(locals())
    with reported():
        start = None if schedule is None else ng.Schedule.load(schedule)
        chosen, optimizer, steps = options.settled(settings)
        report = ng.trust(
            chosen.task,
            optimizer,
            steps=steps,
            schedule=start,
            seeds=seeds,
            engine=engine,
            seed=seed,
        )
        if as_json:
            from nongreedy.schedules._files import plain

            print(json.dumps(plain(_content(report, chosen)), indent=2, allow_nan=False))
        else:
            print("\n".join([*chosen.told, f"{chosen.name}: {report}"]))


def _content(report: ng.Trust, target: Target) -> dict[str, Any]:
    """Verdict, advice and the table, in the values' own units."""
    signals = {
        name: {
            "mean": signal.mean.tolist(), "noise": signal.noise.tolist(),
            "ratio": signal.ratio.tolist(), "agreement": signal.agreement.tolist(),
        }
        for name, signal in report.signals.items()
    }  # fmt: skip
    prospect = report.prospect.words if report.prospect else None
    return {
        "task": target.name, "data": list(target.told),
        "verdict": report.verdict.name, "meaning": report.verdict.value,
        "advice": report.advice, "prospect": prospect, "steps": report.steps,
        "seeds": report.seeds, "cost_in_plain_runs": report.cost, "signals": signals,
        "failures": list(report.failures),
    }  # fmt: skip
