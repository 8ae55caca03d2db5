"""A figure in words and numbers: what the page draws by Plotly, and images by Matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .._words import alike

_TO_NOTHING = 3e3  # times as large: the rest of a value that falls to nothing
_LOG_RATIO = 4.0  # positive values that span more than this show more on a logarithmic axis

Values = Any  # one for each place: an array or a sequence of numbers, or of names


# Marks are compared by identity: two lines of the same numbers are two lines.
@dataclass(frozen=True, eq=False)
class Line:
    """Through points; as stairs where each value holds up to the next place.

    Attributes:
        dash: Of "solid", "dot", "dash", "dashdot".
        edged: Whether an edge of white keeps it legible where it covers others.
    """

    x: Values
    y: Values
    colour: str
    width: float = 1.5
    label: str = ""
    stairs: bool = False
    dash: str = "solid"
    edged: bool = False


@dataclass(frozen=True, eq=False)
class Band:
    """What lies between two lines, in a light tone."""

    x: Values
    low: Values
    high: Values
    colour: str


@dataclass(frozen=True, eq=False)
class Points:
    """Dots, rings or crosses.

    Attributes:
        y: Values or names; at the `edge` a share of the panel's height.
        colour: One, or one for each point.
        notes: What to say of each point.
        errors: Of x, to both sides; none if empty.
    """

    x: Values
    y: Values
    colour: Any
    label: str
    symbol: str = "dot"
    size: float = 9
    opacity: float = 1.0
    notes: Sequence[str] = ()
    errors: Sequence[float] = ()
    edge: bool = False


@dataclass(frozen=True, eq=False)
class Bars:
    """Upon those that come before them."""

    x: Values
    y: Values
    colour: str
    label: str


@dataclass(frozen=True, eq=False)
class Text:
    """A value beside a line, in images: on the page the pointer tells it."""

    x: float
    y: float
    text: str
    colour: str
    side: str = "center"
    weight: str = "bold"
    gap: float = 5  # points between the place and the text; below it where negative


Mark = Line | Band | Points | Bars | Text


@dataclass(frozen=True)
class Axis:
    """One direction of a panel.

    Attributes:
        range: Its ends; None: as the values ask.
        whole: Whether its values are whole numbers, as outer steps are.
        names: Whether its values are names.
    """

    label: str
    range: tuple[float, float] | None = None
    logarithmic: bool = False
    whole: bool = False
    names: bool = False

    @classmethod
    def of(cls, label: str, values: Any, from_zero: bool = False) -> Axis:
        """Logarithmic for positive values of several magnitudes, otherwise from zero if asked."""
        finite = np.asarray(values, float)
        finite = finite[np.isfinite(finite)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (-1.0, 0.0)
        # What falls to nothing would be a cliff there, after a plateau that it is not.
        to_nothing = from_zero and low * _TO_NOTHING < high
        if low > 0 and high / low > _LOG_RATIO and not to_nothing:
            return cls(label, (low / 1.5, high * 1.5), logarithmic=True)
        if low == high and not from_zero:  # a single value: room on both sides, in its own digits
            room = 0.1 * abs(high) or 1.0
            return cls(label, (low - room, high + room))
        return cls(label, (0.0, high * 1.12 or 1.0) if from_zero and low >= 0 else None)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Places and texts on a logarithmic axis: powers of ten, with 2 and 5 where there are few."""
        assert self.range is not None
        low, high = self.range
        first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
        stride = max(1, (last - first) // 7)
        places = [
            sub * 10.0**power
            for power in range(first, last + 1)
            for sub in ((1, 2, 5) if high / low < 300 else (1,))
            if power % stride == 0 and low <= sub * 10.0**power <= high
        ]
        return places, alike(places)


@dataclass(frozen=True)
class Chart:
    """One figure.

    Attributes:
        key: Its id in the page.
        caption: What it shows, in words.
        choices: Label -> marks that are visible when it is chosen; marks of no choice always are.
        chosen: The label that is chosen at first.
        legend: Whether labels of points and bars are listed.
        tall: Whether it needs more height than others.
        main: Whether it is one of those in a report's image.
    """

    key: str
    title: str
    caption: str
    x: Axis
    y: Axis
    marks: Sequence[Mark]
    choices: Mapping[str, Sequence[Mark]] = field(default_factory=dict)
    chosen: str = ""
    legend: bool = False
    tall: bool = False
    main: bool = True

    def colours(self) -> set[str]:
        used = [mark.colour for mark in self.marks]
        return {c for colour in used for c in ([colour] if isinstance(colour, str) else colour)}

    def visible(self, label: str) -> list[Mark]:
        """Marks that are visible when this label is chosen."""
        of_others = {mark for marks in self.choices.values() for mark in marks}
        of_others -= {*self.choices.get(label, ())}
        return [mark for mark in self.marks if mark not in of_others]

    def still(self) -> Chart:
        """What is chosen at first, for an image; the horizontal axis names it."""
        if not self.choices:
            return self
        below = replace(self.x, label=f"{self.x.label} ({self.chosen})")
        return replace(self, x=below, marks=self.visible(self.chosen), choices={}, chosen="")
