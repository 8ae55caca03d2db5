"""Hypergradients over training, one outer step at a time."""

from __future__ import annotations

from collections.abc import Sequence

from ._chart import Axis, Band, Chart, Line, Mark
from ._palette import RUNS, ZERO
from ._record import Record, Step
from ._series import SHOWN, band, blocks, evenly
from ._words import count, number, spaced


def hypergradients(record: Record) -> list[Chart]:
    """The per-step derivative of each hyperparameter, mean and band over seeds."""
    swept = [s for s in record.steps if any(sweep.hypergradient.per_step for sweep in s.sweeps)]
    shown = [swept[index] for index in evenly(len(swept), SHOWN)]
    charts = [_chart(record, shown, name, place) for place, name in enumerate(record.curves)]
    return [chart for chart in charts if chart is not None]


def _chart(record: Record, swept: Sequence[Step], name: str, place: int) -> Chart | None:
    choices: dict[str, list[Mark]] = {}
    last = ""
    for step in swept:
        given = [sweep.hypergradient.per_step for sweep in step.sweeps]
        known = [blocks(g[name].numpy(), record.horizon) for g in given if name in g]
        if not known:
            continue
        places, (mean, deviation) = known[0][0], band([values for _, values in known])
        label = f"outer step {step.row.index}, {count(len(known), 'seed')}"
        choices[label] = [Line(places, mean, RUNS, label="mean over seeds")]
        if deviation is not None:
            choices[label].append(Band(places, mean - deviation, mean + deviation, RUNS))
        last = f"{number(mean.min())} to {number(mean.max())} in {label}"
    if not choices:
        return None
    caption = (
        f"Hypergradient of {spaced(name)}: what one unit more at a single training step "
        f"adds to the final validation loss; below zero, more would help. Mean {last}."
    )
    zero = Line([0, record.horizon], [0, 0], ZERO, 0.8)
    return Chart(
        f"hypergradient-{place}", f"hypergradient: {spaced(name)}", caption,
        Axis("training step", (0, record.horizon)), Axis(f"loss per unit of {spaced(name)}"),
        [zero, *(mark for marks in choices.values() for mark in marks)],
        choices, list(choices)[-1],
    )  # fmt: skip
