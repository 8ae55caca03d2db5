"""What each outer step came to: its validation loss and accuracy, its training curve."""

import math
from collections.abc import Mapping, Sequence

from ..schedules._drawing._chart import Axis, Chart, Line, Mark, Points, Text
from ..schedules._drawing._palette import BAD, FAINT, RETURNED, of_step
from ._outer_step import OuterStep
from ._words import count, number

# What a row came to, its symbol, and what the legend says: a step that found nothing better shows the
# schedule of before on seeds of its own, so that its loss may well be the lowest.
_SYMBOLS = (
    ("accepted", "dot", "accepted"),
    ("no improvement", "ring", "nothing better found"),
    ("diverged", "cross", "diverged"),
)


def losses(
    history: Sequence[OuterStep], origin: OuterStep | None = None, final: float | None = None
) -> Chart:
    """Validation loss of each outer step.

    Args:
        origin: The row whose schedule was returned.
        final: Loss of the returned schedule in the final comparison.
    """
    values = {row.index: row.validation_loss for row in history}
    marks, came = _marks(history, values), [came_to(row) for row in history]
    caption = (
        "Validation loss of each outer step, on seeds of its own, so that it scatters and two of them "
        "cannot be compared: "
        f"{count(came.count('accepted'), 'step')} accepted, "
        f"{count(came.count('no improvement'), 'step')} without improvement, "
        f"{count(came.count('diverged'), 'step')} diverged. "
        "Rings: nothing better was found, so that the schedule is that of before."
    )
    drawn = [*values.values()]
    if final is not None:
        drawn.append(final)
        ends, label = outer_steps(history).range or (), "in the final comparison"
        marks.insert(0, Line(ends, [final, final], RETURNED, 1.4, label, dash="dash"))
        caption += f" Dashed: the returned schedule in the final comparison, {number(final, 3)}."
    if origin is not None:
        place, loss = origin.index, origin.validation_loss
        marks.append(Points([place], [loss], RETURNED, "returned", size=11))
        marks.append(Text(place, loss, number(loss, digits=3), RETURNED, gap=11))
    x, y = outer_steps(history), Axis.of("validation loss", drawn)
    return Chart("losses", "validation loss", caption, x, y, marks, legend=True)


def accuracies(history: Sequence[OuterStep]) -> Chart | None:
    """Validation accuracy per outer step, where it has a meaning."""
    values = {
        row.index: 100 * row.validation_accuracy
        for row in history
        if row.validation_accuracy is not None
    }
    if not values:
        return None
    caption = (
        "Validation accuracy of each outer step, on the same seeds as its loss: "
        f"{max(values.values()):.1f} % at the highest."
    )
    marks = _marks(history, values)
    x, y, title = outer_steps(history), Axis("validation accuracy (%)"), "validation accuracy"
    return Chart("accuracies", title, caption, x, y, marks, legend=True, main=False)


def came_to(row: OuterStep) -> str:
    """A row in a word."""
    if not math.isfinite(row.validation_loss):
        return "diverged"
    return "accepted" if row.accepted else "no improvement"


def _marks(history: Sequence[OuterStep], values: Mapping[int, float]) -> list[Mark]:
    """Of each row a point; those that diverged have no value: they are at the upper edge."""
    marks: list[Mark] = []
    for label, symbol, meaning in _SYMBOLS:
        diverged = label == "diverged"
        rows = [(place, row) for place, row in enumerate(history) if came_to(row) == label]
        rows = [(place, row) for place, row in rows if diverged or row.index in values]
        x = [row.index for _, row in rows]
        y = [0.96 if diverged else values[index] for index in x]
        colour: list[str] | str = BAD if diverged else FAINT
        if label == "accepted":
            marks.append(Line(x, y, FAINT, 1.2))
            colour = [of_step(place, len(history)) for place, _ in rows]
        if rows:
            notes = [row.note for _, row in rows]
            marks.append(Points(x, y, colour, meaning, symbol, notes=notes, edge=diverged))
    return marks


def outer_steps(history: Sequence[OuterStep]) -> Axis:
    ends = (-0.6, history[-1].index + 0.6) if history else None
    return Axis("outer step", ends, whole=True)
