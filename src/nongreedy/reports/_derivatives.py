"""Hypergradients over training, one outer step at a time."""

from ..schedules._drawing._chart import Axis, Band, Chart, Line, Mark
from ..schedules._drawing._palette import RUNS, ZERO
from ..schedules._drawing._series import SHOWN, band, blocks, evenly
from ..search._words import count, number, spaced
from ._record import Record


def derivatives(record: Record) -> list[Chart]:
    """The per-step derivative of each hyperparameter, mean and band over seeds."""
    charts = [_chart(record, name, place) for place, name in enumerate(record.curves)]
    return [chart for chart in charts if chart is not None]


def _chart(record: Record, name: str, place: int) -> Chart | None:
    choices: dict[str, list[Mark]] = {}
    last = ""
    known = [step for step in record.steps if any(h.per_step for h in step.hypergradients)]
    for step in evenly(known, SHOWN):
        rows = [h.per_step[name].numpy() for h in step.hypergradients if name in h.per_step]
        if not rows:
            continue
        columns = [blocks(row, record.horizon) for row in rows]
        places, (mean, deviation) = columns[0][0], band([values for _, values in columns])
        label = f"outer step {step.row.index}, {count(len(rows), 'seed')}"
        choices[label] = [Line(places, mean, RUNS, label="mean over seeds")]
        if deviation is not None:
            choices[label].append(Band(places, mean - deviation, mean + deviation, RUNS))
        last = f"{number(mean.min())} and {number(mean.max())} in {label}"
    if not choices:
        return None
    caption = (
        f"Hypergradient of {spaced(name)}: what one unit more at a single training step "
        f"adds to the final validation loss; below zero, more would help. "
        f"The mean over seeds lies between {last}."
    )
    zero = Line([0, record.horizon], [0, 0], ZERO, 0.8)
    return Chart(
        f"hypergradient-{place}", f"hypergradient: {spaced(name)}", caption,
        Axis("training step", (0, record.horizon)), Axis(f"loss per unit of {spaced(name)}"),
        [zero, *(mark for marks in choices.values() for mark in marks)],
        choices, list(choices)[-1],
    )  # fmt: skip
