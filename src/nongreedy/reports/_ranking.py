"""Who is best: names from bad to good, every score, and the mean with its standard error."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..schedules._drawing._chart import Axis, Chart, Points
from ..schedules._drawing._palette import FAINT, RETURNED
from ..search._words import spaced


@dataclass(frozen=True)
class Place:
    """One name, its scores, and their mean with its standard error (nan where there is none); of losses
    of ours, the errors in the units of what is predicted."""

    name: str
    scores: Sequence[float]
    mean: float
    standard_error: float
    rmse: Sequence[float] = ()


def ranking(places: Sequence[Place], measure: str, what: str, one: str, caption: str) -> Chart:
    """Best first at the top; of an accuracy the scores are percent.

    Args:
        places: Best first; one whose mean is not finite has no place in the figure.
        measure: What is scored, such as ``test_accuracy``.
        what: What the names are of.
        one: What a single score is of.
    """
    places = [place for place in reversed(places) if math.isfinite(place.mean)]
    values = [score for place in places for score in place.scores]
    names = [place.name for place in places for _ in place.scores]
    scores = Points(values, names, FAINT, one, size=6, opacity=0.55)
    errors = [0 if math.isnan(p.standard_error) else p.standard_error for p in places]
    values, names = [place.mean for place in places], [place.name for place in places]
    means = Points(values, names, RETURNED, "mean ± standard error", errors=errors)
    unit = spaced(measure) + (" (%)" if measure.endswith("accuracy") else "")
    x, y = Axis(unit), Axis(what, names=True)
    marks, tall = [scores, means], len(places) > 6
    return Chart("ranking", unit, caption, x, y, marks, legend=True, tall=tall, main=False)
