"""The page of a race: regret curves against theory's line, slopes, what each policy found."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ..reports._document import document, facts, places, settings
from ..reports._markup import Html, section, swatch, table, text
from ..schedules._drawing._chart import Axis, Band, Chart, Line, Text
from ..schedules._drawing._palette import FAINT, RETURNED
from ..search._words import number
from ._study import Course

COLOURS = (RETURNED, "#3f86c0", "#b5651d", "#2e7d4f", "#5b3f8c", "#c44e52", "#9aa21b")
_FROM = 0.1  # share of the plays from which slopes are measured


def chart(courses: Sequence[Course]) -> Chart:
    """Regret of every policy over plays, and sqrt(T) through the last point of the first policy."""
    marks: list[Band | Line | Text] = []
    first = courses[0]
    shown = first.plays >= 10
    x = first.plays[shown].tolist()
    for course, colour in zip(courses, COLOURS, strict=False):
        mean, error = course.mean[shown], course.standard_error[shown]
        low, high = (mean - 2 * error).clamp(min=0.5), mean + 2 * error
        marks.append(Band(x, low.tolist(), high.tolist(), colour))
        width = 2.6 if course is first else 1.6
        marks.append(Line(x, mean.tolist(), colour, width, course.name))
    end = float(first.mean[-1])
    line = [end * (place / x[-1]) ** 0.5 for place in x]
    marks.append(Line(x, line, FAINT, 1.4, "theory: √T", dash="dash"))
    top = max(float(course.mean[-1]) for course in courses)
    low = min(float(course.mean[shown][0]) for course in courses)
    caption = (
        "Summed regret, mean over seeds, and a band of two standard errors. Dashed: a line of slope 1/2, "
        f"the theorem's, through the end of {first.name}."
    )
    return Chart(
        "regret", "Regret", caption, Axis("plays", (x[0], x[-1]), logarithmic=True),
        Axis("summed regret", (low / 2, 2 * top), logarithmic=True), marks, tall=True,
    )  # fmt: skip


def rows(courses: Sequence[Course]) -> list[list[str]]:
    """Of the table: policy, regret at the end, its error, slope with interval, share of the best reward."""
    return [
        [
            course.name, number(float(course.mean[-1]), 3),
            number(float(course.standard_error[-1]), 2), str(course.slope(_FROM)),
            f"{statistics.median(course.finals):.3f}",
        ]
        for course in courses
    ]  # fmt: skip


HEAD = ["policy", "regret", "standard error", "slope [95 %]", "reward found"]


def page(courses: Sequence[Course], asked: Mapping[str, object], theory: str) -> str:
    """The whole document.

    Args:
        asked: Settings, as the command line has them.
        theory: What theorems say of this problem, in a paragraph.
    """
    drawn = chart(courses)
    best = min(courses, key=lambda course: float(course.mean[-1]))
    entries = {
        "Least regret": (
            best.name,
            f"{number(float(best.mean[-1]), 3)} after {asked['rounds']} plays",
        ),
        "Its slope": (
            str(best.slope(_FROM)),
            "over the last tenfold of plays; the theorem's is 0.5",
        ),
        "Seeds": (len(courses[0].finals), "each with a problem of its own"),
    }
    listed = []
    for course, colour, row in zip(courses, COLOURS, rows(courses), strict=False):
        listed.append([Html(swatch(colour, "solid") + text(course.name)), *row[1:], course.policy])
    said = (
        "<p>Slope: exponent of the regret in the plays over the last tenfold, with a bootstrap interval over "
        "seeds. Reward found: of the last choice, as a share of the best, median over seeds; a policy that "
        "keeps no choice has 0.</p>"
    )
    body = [
        f"<h1>Bandit</h1>\n<p>{text(theory)}</p>\n{facts(entries)}",
        section("Regret", places([drawn])),
        section("Policies", table([*HEAD, "settings"], listed, (1, 2, 3, 4), (5,)), said),
        settings(asked),
    ]
    return document("Bandit", body, [drawn], "bandit.png beside this page shows the regret without")
