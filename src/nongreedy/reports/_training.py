"""Training curves of the outer steps."""

import numpy as np

from ..schedules._drawing._chart import Axis, Chart, Line
from ..schedules._drawing._palette import of_step
from ..schedules._drawing._series import SHOWN, evenly
from ..search._words import number
from ._record import Record


def training(record: Record) -> Chart | None:
    """Training curves, one of each outer step."""
    known = [(place, step) for place, step in enumerate(record.steps) if step.curve]
    if not known:
        return None
    lines = []
    for place, step in evenly(known, 2 * SHOWN):
        x, y, colour = [*step.curve], [*step.curve.values()], of_step(place, len(record.steps))
        lines.append(Line(x, y, colour, label=f"outer step {step.row.index}"))
    caption = (
        f"Training loss of one run of each outer step, light for the first. The last one shown ends "
        f"at {number(lines[-1].y[-1], 3)}, the first at {number(lines[0].y[-1], 3)}."
    )
    y = Axis.of("training loss of the batch", np.concatenate([line.y for line in lines]))
    x = Axis("training step", (0, record.horizon))
    return Chart("training", "training curves", caption, x, y, lines)
