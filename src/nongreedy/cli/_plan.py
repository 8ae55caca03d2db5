"""``nongreedy plan``: what one hypergradient will take, before anything is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import nongreedy as ng

from . import _config
from . import _target as options
from ._exit import reported

if TYPE_CHECKING:
    from nongreedy.planning import Plan


def plan(
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
    sample: Annotated[int, typer.Option(min=1, help="Steps of the longer measured run.")] = 8,
    config: _config.Option = None,
) -> None:
    """Predict time and memory of one hypergradient for every engine, from two short runs."""
    settings = dict(locals())
    with reported():
        from nongreedy.search._words import duration

        chosen, optimizer, steps = options.settled(settings)
        forecast = ng.plan(chosen.task, optimizer, steps=steps, sample=sample)
        print(*chosen.told, sep="\n", end="\n" if chosen.told else "")
        plain = forecast.plain_seconds
        plain = duration(plain) if plain >= 1 else f"{plain:.2g} s"
        print(
            f"{chosen.name}: {steps} steps. A plain run takes {plain}; "
            f"{forecast.free_bytes / 2**30:.1f} GiB are free. One hypergradient:\n"
        )
        _print_table(forecast)
        print(f"\nRecommended: --engine {_label(forecast.recommended)} ({forecast.choice.reason})")
        print(
            "Whether a search is expected to gain anything: nongreedy trust, for 20 to 24 plain runs."
        )


def _print_table(forecast: Plan) -> None:
    """The engines, then why others cannot be used."""
    print("engine              seconds  plain runs  peak memory  seconds =")
    for row in sorted(forecast.forecasts, key=lambda row: bool(row.refused)):
        if row.refused:
            print(f"\n{_label(row.engine)}: {row.refused}")
            continue
        runs, memory = row.seconds / forecast.plain_seconds, f"{row.bytes / 2**20:.0f} MiB"
        numbers = f"{row.seconds:>8.3g}  {runs:>10.1f}  {memory:>11}"
        print(f"{_label(row.engine):<18} {numbers}  {row.arithmetic}")


def _label(engine: ng.Engine) -> str:
    """As ``--engine`` takes it."""
    from nongreedy.engines._store import STORES

    for store in STORES:
        if engine == ng.Reverse(store):
            return f"reverse:{store}"
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(engine).__name__)
    return words.removeprefix("_")
