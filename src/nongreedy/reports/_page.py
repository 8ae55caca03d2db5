"""The page of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..schedules import Linear
from ..search import OuterStep
from ._chart import Chart
from ._cost import Cost
from ._document import document, facts, places
from ._losses import came_to
from ._markup import pairs, section, table, text
from ._record import Record
from ._trust import trust_section
from ._use import asked, use
from ._words import duration, number, spaced


def page(record: Record, charts: Mapping[str, Sequence[Chart]]) -> str:
    """The whole document."""
    body = [
        _head(record),
        _schedules(record, charts["schedules"]),
        _progress(record, charts["progress"]),
        _judged(record, charts["judged"]),
        _hypergradients(record, charts["hypergradients"]),
        _cost(record, charts["cost"]),
        trust_section(record),
        use(record),
        asked(record),
    ]
    drawn = [chart for each in charts.values() for chart in each]
    beside = "report.png and report.svg beside this page show the main ones without"
    return document(f"Study {record.name}", body, drawn, beside)


def _head(record: Record) -> str:
    start, of_first = record.start
    begun = "first schedule" if of_first else "after the first outer step"
    done = "returned, in the final comparison" if record.status else "last accepted outer step"
    asked = record.settings.get("outer_steps")
    costs = "final comparison not counted" if record.status else "up to the last outer step"
    shown = {
        "Validation loss": (
            f"{number(start, 3)} → {number(record.loss, 3)}", f"{begun} → {done}"
        ),
        "Cost": (f"{record.cost:.1f} plain runs", costs if record.last_cost is None else ""),
        "Outer steps": (f"{len(record.steps)} of {asked}", f"runs of {record.horizon} training steps"),
        "Time": (duration(sum(row.seconds for row in record.rows)), "that the outer steps took"),
    }  # fmt: skip
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
        learned.append(f"{spaced(name)} ({plural})")
    fixed = [
        f"{spaced(name)} {curve.describe()}"
        for name, curve in record.schedule.curves.items()
        if name not in record.learned
    ]
    return ", ".join(learned) + ("; fixed: " + ", ".join(fixed) if fixed else "")


def _state(record: Record) -> str:
    lost = f"<p>{record.lost} kept answers of runs or sweeps are damaged and left out.</p>"
    lost = lost if record.lost else ""
    if record.status is not None:
        name = spaced(record.status.name).capitalize()
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


def _schedules(record: Record, charts: Sequence[Chart]) -> str:
    key = (
        '<p class="key"><span><i class="steps"></i>outer steps, first to last</span>'
        f'<span><i class="returned"></i>{record.what} schedule</span></p>'
    )
    other = [name for name in record.learned if name not in record.curves]
    tensors = {name: record.schedule.curves[name].describe() for name in other}
    rest = f"<h3>Held throughout the run</h3>{pairs(tensors)}" if tensors else ""
    drawn = key + places(charts) if charts else ""
    return section("Schedules over training", drawn, rest)


def _progress(record: Record, charts: Sequence[Chart]) -> str:
    head = [
        "outer step", "validation loss", "accuracy", "cost so far", "seconds", "", "what happened",
    ]  # fmt: skip
    listed = table(head, [*map(_row, record.rows)], numeric=range(5), long=(6,))
    return section("Outer steps", places(charts), listed)


def _judged(record: Record, charts: Sequence[Chart]) -> str:
    if record.judged is None:
        return ""
    measure, ranked = record.judged
    digits = 2 if measure.endswith("accuracy") else 4
    rows = [
        [place.name, f"{place.mean:.{digits}f}", f"{place.standard_error:.{digits}f}",
         ", ".join(f"{score:.{digits}f}" for score in place.scores)]
        for place in ranked
    ]  # fmt: skip
    head = ["schedule", spaced(measure), "standard error", "each"]
    return section("Fresh trainings", places(charts), table(head, rows, numeric=(1, 2), long=(3,)))


def _row(row: OuterStep) -> list[object]:
    """Of the table of outer steps."""
    came, accuracy = came_to(row), row.validation_accuracy
    return [
        row.index, "" if came == "diverged" else number(row.validation_loss, 3),
        "" if accuracy is None else f"{100 * accuracy:.1f} %",
        f"{row.cost:.1f}", f"{row.seconds:.1f}", came, row.note,
    ]  # fmt: skip


def _hypergradients(record: Record, charts: Sequence[Chart]) -> str:
    said = (
        "Line: mean over seeds. Band: mean ± standard deviation over them; there is none with a "
        "single seed. Long runs are averaged over blocks of steps. A hypergradient is that of the "
        "schedule with which its outer step began."
    )
    if not charts:
        said = "The study keeps no derivatives step by step" + (
            "." if record.lost else ": its engine does not compute them."
        )
    drawn = places(charts) if charts else ""
    return section("Hypergradients over training", f"<p>{said}</p>", drawn)


def _cost(record: Record, charts: Sequence[Chart]) -> str:
    rows = Cost.of(record).table()
    total = sum(value for _, value in rows)
    shares = [[what, f"{v:.1f}", f"{v / total:.0%}" if total else ""] for what, v in rows]
    unit = (
        "<p>In plain training runs: one unit is as much as training once. A hypergradient counts as "
        "many as its engine's derivatives cost.</p>"
    )
    listed = table(
        ["spent on", "plain runs", "share"], [*shares, ["all", f"{total:.1f}", ""]], (1, 2), (0,)
    )
    return section("Cost", unit, places(charts), listed)
