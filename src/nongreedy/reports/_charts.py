"""Every chart of a report, computed once for the page and the images."""

from __future__ import annotations

from ._chart import Chart
from ._cost import Cost
from ._derivatives import hypergradients
from ._losses import accuracies, losses, training
from ._ranking import ranking
from ._record import Record
from ._schedules import origin, schedules
from ._words import count, spaced


def charts_of(record: Record) -> dict[str, list[Chart]]:
    """Section of the page -> its charts."""
    begun = None
    if len(record.curves) == len(record.learned):
        begun = origin(record.schedule, record.rows, record.horizon)
    final = record.loss if record.status else None
    maybe = [losses(record.rows, begun, final), accuracies(record.rows), training(record)]
    return {
        "schedules": schedules(
            record.schedule, record.curves, record.rows, record.horizon, record.what
        ),
        "progress": [chart for chart in maybe if chart is not None],
        "judged": _judged(record),
        "hypergradients": hypergradients(record),
        "cost": [Cost.of(record).chart(record.rows)],
    }


def _judged(record: Record) -> list[Chart]:
    if record.judged is None:
        return []
    measure, ranked = record.judged
    caption = (
        f"{spaced(measure).capitalize()} of plain PyTorch trainings from scratch, on "
        f"{count(len(ranked[0].scores), 'seed')} that the search had not used, the same for every schedule."
    )
    return [ranking(ranked, measure, "schedule", "one training", caption)]
