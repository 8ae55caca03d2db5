"""The page of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..schedules import Linear
from ..search import OuterStep
from . import _colours as colours
from . import _plots as plots
from ._cost import Cost
from ._derivatives import hypergradients
from ._figure import duration, number
from ._page_parts.document import document, facts, places
from ._page_parts.markup import choice, pairs, section, table, text
from ._page_parts.plot import Plot, count
from ._page_parts.ranking import ranking
from ._record import Record
from ._trust import trust_section
from ._use import settings, use


def page(record: Record) -> str:
    """The whole document."""
    costs = Cost.of(record)
    known: list[Plot] = []
    body = [_head(record), _schedules(record, known), _progress(record, known)]
    body += [_judged(record, known)] if record.judged else []
    body += [_hypergradients(record, known), _cost(record, costs, known)]
    body += [section("Trust", trust_section(record)), use(record), settings(record)]
    beside = "report.png and report.svg beside this page show the main ones without"
    dark = colours.twins(len(record.steps))
    return document(f"Study {record.name}", body, known, dark, beside)


def _figures(found: Sequence[Plot], known: list[Plot]) -> str:
    known.extend(found)
    return places(found)


def _head(record: Record) -> str:
    start, of_first = record.start
    begun = "first schedule" if of_first else "after the first outer step"
    done = "returned, in the final comparison" if record.status else "last accepted outer step"
    asked = record.settings.get("outer_steps")
    costs = "" if record.last_cost is not None else "final comparison not counted"
    shown = {
        "Validation loss": (
            f"{number(start, 3)} → {number(record.loss, 3)}", f"{begun} → {done}"
        ),
        "Cost": (f"{record.cost:.1f} plain runs", costs),
        "Outer steps": (f"{len(record.steps)} of {asked}", f"runs of {record.horizon} training steps"),
        "Time": (duration(record.seconds), "that the outer steps took"),
    }  # fmt: skip
    if not record.status and record.last_cost is None:
        shown["Cost"] = (shown["Cost"][0], "up to the last outer step")
    return (
        f"<h1>Study {text(record.name)}</h1>\n<p>Tuned: {text(_tuned(record))}.</p>\n"
        f"{_state(record)}\n{facts(shown)}"
    )


def _tuned(record: Record) -> str:
    """What was learned, and what was fixed."""
    learned = []
    for name in record.learned:
        curve = record.schedule.curves[name]
        count = len(curve.coefficients)
        shape = ", joined by straight lines" if isinstance(curve.basis, Linear) else ""
        plural = f"{count} values{shape}" if count > 1 else "1 value"
        learned.append(f"{name.replace('_', ' ')} ({plural})")
    fixed = [
        f"{name.replace('_', ' ')} {curve.describe()}"
        for name, curve in record.schedule.curves.items()
        if name not in record.learned
    ]
    return ", ".join(learned) + ("; fixed: " + ", ".join(fixed) if fixed else "")


def _state(record: Record) -> str:
    lost = (
        f"<p>{record.lost} kept answers of runs or sweeps are damaged and left out.</p>"
        if record.lost
        else ""
    )
    if record.status is not None:
        name = record.status.name.replace("_", " ").capitalize()
        return f"<p><strong>{text(name)}.</strong> {text(record.status.value)}</p>{lost}"
    how = (
        f"To go on:</p><pre>{text(record.resume)}</pre>"
        if record.resume
        else "To go on, call <code>ng.tune(..., study=...)</code> with the same settings.</p>"
    )
    return (
        '<div class="unfinished"><p><strong>Unfinished.</strong> The search was interrupted or is '
        f"still going on; what it had found by then is below. {how}</div>{lost}"
    )


def _schedules(record: Record, known: list[Plot]) -> str:
    what = "returned schedule" if record.status else "current schedule"
    key = (
        '<p class="key"><span><i class="steps"></i>outer steps, first to last</span>'
        f'<span><i class="returned"></i>{what}</span></p>'
    )
    other = [name for name in record.learned if name not in record.curves]
    tensors = {name: record.schedule.curves[name].describe() for name in other}
    rest = f"<h3>Held throughout the run</h3>{pairs(tensors)}" if tensors else ""
    drawn = key + _figures(plots.schedules(record), known) if record.curves else ""
    return section("Schedules over training", drawn, rest)


def _progress(record: Record, known: list[Plot]) -> str:
    maybe = [plots.losses(record), plots.accuracies(record), plots.training(record)]
    found = [plot for plot in maybe if plot is not None]
    rows = [
        [row.index, _loss(row), _percent(row.validation_accuracy),
         f"{row.cost:.1f}", f"{row.seconds:.1f}", _verdict(row), row.note]
        for row in record.rows
    ]  # fmt: skip
    head = [
        "outer step", "validation loss", "accuracy", "cost so far", "seconds", "", "what happened",
    ]  # fmt: skip
    listed = table(head, rows, numeric=(0, 1, 2, 3, 4), long=(6,))
    return section("Outer steps", _figures(found, known), listed)


def _judged(record: Record, known: list[Plot]) -> str:
    assert record.judged is not None
    measure, found = record.judged
    what, digits = measure.replace("_", " "), 2 if measure.endswith("accuracy") else 4
    best_first = sorted(
        found, key=lambda place: -place.mean if measure.endswith("accuracy") else place.mean
    )
    caption = (
        f"{what.capitalize()} of plain PyTorch trainings from scratch, on {count(found[0].scores, 'seed')} "
        "that the search had not used, the same for every schedule."
    )
    rows = [
        [place.name, f"{place.mean:.{digits}f}", f"{place.standard_error:.{digits}f}",
         ", ".join(f"{score:.{digits}f}" for score in place.scores)]
        for place in best_first
    ]  # fmt: skip
    head = ["schedule", what, "standard error", "each"]
    listed = table(head, rows, numeric=(1, 2), long=(3,))
    plot = ranking(best_first, measure, "schedule", "one training", caption)
    return section("Fresh trainings", _figures([plot], known), listed)


def _loss(row: OuterStep) -> str:
    return number(row.validation_loss, 3) if math.isfinite(row.validation_loss) else ""


def _percent(accuracy: float | None) -> str:
    return "" if accuracy is None else f"{100 * accuracy:.1f} %"


def _verdict(row: OuterStep) -> str:
    if not math.isfinite(row.validation_loss):
        return "diverged"
    return "accepted" if row.accepted else "no improvement"


def _hypergradients(record: Record, known: list[Plot]) -> str:
    found = hypergradients(record)
    if not found:
        said = "The study keeps no derivatives step by step" + (
            "." if record.lost else ": its engine does not compute them."
        )
        return section("Hypergradients over training", f"<p>{said}</p>")
    labels = list(dict.fromkeys(label for plot in found for label in plot.choices))
    choose = choice([plot.key for plot in found], labels, labels[-1])
    said = (
        "Line: mean over seeds. Band: mean ± standard deviation over them; there is none with a "
        "single seed. Long runs are averaged over blocks of steps. A hypergradient is that of the "
        "schedule with which its outer step began."
    )
    return section("Hypergradients over training", f"<p>{said}</p>", choose, _figures(found, known))


def _cost(record: Record, costs: Cost, known: list[Plot]) -> str:
    rows = costs.table()
    total = sum(value for _, value in rows)
    shares = [[what, f"{v:.1f}", f"{v / total:.0%}" if total else ""] for what, v in rows]
    unit = (
        "<p>In plain training runs: one unit is as much as training once. A hypergradient counts as "
        "many as its engine's derivatives cost.</p>"
    )
    listed = table(
        ["spent on", "plain runs", "share"], [*shares, ["all", f"{total:.1f}", ""]], (1, 2), (0,)
    )
    return section("Cost", unit, _figures([plots.cost(record, costs)], known), listed)
