"""The chart of a comparison: regret against cost, as in Figure 1 of the paper."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..schedules._drawing._chart import Axis, Chart, Line, Text
from ..schedules._drawing._palette import FAINT, RETURNED
from ._regret import Course

OURS = ("default", "recipe", "agreement", "paper")
BLACK_BOXES = ("random", "tpe", "bohb", "gp")
ALL = "all methods"
# Families of methods: what their names begin with, and their colours.
_FAMILIES = {
    OURS: [RETURNED, "#3f86c0", "#7f9fc0", "#4fc3f7"],
    BLACK_BOXES: [
        *("#b5651d", "#d98e32", "#8f2d1f", "#c44e52", "#a8326b", "#e0a899", "#6e4a2e", "#d9628f"),
    ],
    ("hypergradient",): ["#5b3f8c"],
    ("",): ["#1d6b3f", "#c9a227", "#3fb0ac", "#8a8f98", "#7cc05a", "#4f5b66", "#b7c46a"],
}


def regret_chart(courses: Mapping[str, Course]) -> Chart:
    """The regret of every method over the plain runs that it spent: :func:`regrets`.

    This library's methods are thick; lines differ in colour and in dashes.
    """
    values = [value for course in courses.values() for _, value in course]
    positive = [value for value in values if 0 < value < np.inf] or [1e-3]
    # The best of all, 0, has no place on a logarithmic axis: it is drawn at half of the least regret.
    # A few values that nearly diverged would hide the others: they leave at the top.
    floor, top = min(positive) / 2, 2 * float(np.quantile(positive, 0.95))
    end = 1.03 * max((course[-1][0] for course in courses.values()), default=1.0)
    lines, colours, dashes = [], _colours(list(courses)), _dashes(list(courses))
    for name, course in courses.items():
        costs, values = zip(*course, (end, course[-1][1]), strict=True)
        width = 2.6 if name in OURS else 1.4
        dash = dashes[name]
        y = np.maximum(values, floor)
        lines.append(Line(costs, y, colours[name], width, name, stairs=True, dash=dash))
    caption = (
        "Validation loss, in fresh trainings, of what each method would have returned at this "
        "cost, mean over searches, above that of the best of all at its end. The best is 0 and is "
        "drawn just above the lower edge. Lines are those of the table. This is the validation loss; "
        "the ranking is by what the comparison is judged by."
    )
    note = "the best of all is 0, drawn just above this edge"
    said = Text(0, floor / 1.25, note, FAINT, "left", "normal")
    return Chart(
        "regret", "regret against cost", caption, Axis("cost (plain training runs)", (0, end)),
        Axis("validation loss above the best", (floor / 1.25, top), logarithmic=True),
        [*lines, said], _choices(lines), ALL, legend=True, tall=True,
    )  # fmt: skip


def _colours(names: Sequence[str]) -> dict[str, str]:
    """By family; a method has one colour whatever its ranges."""
    left = {family: list(colours) for family, colours in _FAMILIES.items()}
    colours: dict[str, str] = {}
    for base in (name.removesuffix("-paper-ranges") for name in names):
        if base not in colours:
            family = next(family for family in left if base.startswith(family))
            colours[base] = left[family].pop(0) if left[family] else FAINT
    return {name: colours[name.removesuffix("-paper-ranges")] for name in names}


def _dashes(names: Sequence[str]) -> dict[str, str]:
    """Beside the colour, for paper and for those who see no colours; the paper's ranges are dotted."""
    order = sorted(names, key=lambda name: (name not in OURS, names.index(name)))
    dashes = {name: ("solid", "dash", "dashdot")[place % 3] for place, name in enumerate(order)}
    return {n: "dot" if n.endswith("-paper-ranges") else dash for n, dash in dashes.items()}


def _choices(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """What may be shown: all lines, or ours with those of one kind."""
    kinds = dict.fromkeys(_kind(line.label) for line in lines if line.label not in OURS)
    return {ALL: [*lines]} | {
        f"ours and {kind}": [
            line for line in lines if line.label in OURS or _kind(line.label) == kind
        ]
        for kind in kinds
    }


def _kind(name: str) -> str:
    if name.endswith("-paper-ranges"):
        return "black boxes in the paper's ranges"
    if name.endswith("-practice"):
        return "black boxes from practice"
    black_box = name.startswith(BLACK_BOXES)
    return "black boxes in positive ranges" if black_box else "other methods"
