"""The page of a study."""

import math
import statistics
from collections.abc import Sequence

from ..schedules import Linear
from ..schedules._drawing._chart import Chart
from ..schedules._drawing._schedules import origin, schedules
from ..search import OuterStep
from ..search._losses import accuracies, came_to, losses
from ..search._words import count, duration, number, spaced
from ._cost import Cost, costs
from ._derivatives import derivatives
from ._document import document, facts, places
from ._markup import pairs, section, table, text
from ._ranking import ranking
from ._record import Record
from ._training import training
from ._trust import trust_section
from ._use import settings_section, use

Part = tuple[list[Chart], str]  # of the page: its charts and its HTML, with a place for each


def page(record: Record, refresh: float | None = None) -> tuple[str, list[Chart]]:
    """The whole document, and every chart in it; one that is read again after so many seconds."""
    parts = [make(record) for make in (_schedules, _progress, _judged, _hypergradients, _cost)]
    charts = [chart for drawn, _ in parts for chart in drawn]
    body = [_head(record), *(html for _, html in parts)]
    body += [trust_section(record), use(record), settings_section(record)]
    beside = "report.png and report.svg beside this page show the main ones without"
    title = ", ".join(filter(None, [record.task, record.begun, f"study {record.name}"]))
    return document(title, body, charts, beside, refresh), charts


def _head(record: Record) -> str:
    start, where = _from_to(record)
    most = record.settings.get("outer_steps")
    taken = str(len(record.steps)) + (f" of {most}" if most else "")  # else a budget is the limit
    unknown = "final comparison not counted" if record.status else "up to the last outer step"
    boxes = {
        "Validation loss": (
            f"{number(start, 3)} → {number(record.loss, 3)}", where
        ),
        "Cost": (f"{record.cost:.1f} plain runs", unknown if record.last_cost is None else ""),
        "Outer steps": (taken, f"runs of {record.horizon} training steps"),
        "Time": (
            duration(sum(row.seconds for row in record.rows)), "in outer steps; what came after is not in it"
        ),
    }  # fmt: skip
    named = f"Study {record.name}" + (f", begun on {record.begun}" if record.begun else "")
    told = "".join(f"<p>{text(str(line))}</p>\n" for line in record.trained.get("told", ()))
    return (
        f"<h1>{text(record.task)}</h1>\n<p>{text(named)}. Tuned: {text(_tuned(record))}.</p>\n{told}"
        f"{_state(record)}\n{facts(boxes)}"
    )


def _from_to(record: Record) -> tuple[float, str]:
    """The loss of the start, on the seeds of the final comparison where it stood there, and what is
    compared with what."""
    if (gain := record.gain) is not None and gain.seeds and math.isfinite(gain.fallback):
        return gain.fallback, f"start → returned, on {count(gain.seeds, 'common fresh seed')}"
    start, of_first = record.start
    begun = "first schedule" if of_first else "after the first outer step"
    done = "returned, in the final comparison" if record.status else "last accepted outer step"
    return start, f"{begun} → {done}"


def _tuned(record: Record) -> str:
    """What was learned, and what was fixed."""
    curves, learned = dict(record.schedule.curves), []
    for name in record.learned:
        curve = curves.pop(name)
        size = len(curve.coefficients)
        joined = (
            ", joined by straight lines" if isinstance(curve.basis, Linear) and size > 1 else ""
        )
        learned.append(f"{spaced(name)} ({count(size, 'value')}{joined})")
    fixed = [f"{spaced(name)} {curve.describe()}" for name, curve in curves.items()]
    return ", ".join(learned) + ("; fixed: " + ", ".join(fixed) if fixed else "")


def _state(record: Record) -> str:
    lost = f"<p>{record.lost} kept answers of runs or sweeps are damaged and left out.</p>"
    lost = lost if record.lost else ""
    if record.status is not None:
        name = spaced(record.status.name).capitalize()
        verdict = f"<p><strong>{text(record.gain.verdict)}</strong></p>\n" if record.gain else ""
        return f"{verdict}<p><strong>{text(name)}.</strong> {text(record.status.value)}</p>{lost}"
    how = (
        f"To go on:</p><pre>{text(record.resume)}</pre>"
        if record.resume
        else "To go on, call <code>ng.tune(..., study=...)</code> with the same settings.</p>"
    )
    return (
        '<div class="unfinished"><p><strong>Unfinished.</strong> The search was interrupted or is '
        f"still going on; what it had found by then is below. {how}</div>{lost}"
    )


def _schedules(record: Record) -> Part:
    charts = schedules(
        record.schedule.curves, record.curves, record.rows, record.horizon, record.what
    )
    key = (
        '<p class="key"><span><i class="steps"></i>outer steps, first to last</span>'
        f'<span><i class="returned"></i>{record.what} schedule</span></p>'
    )
    other = [name for name in record.learned if name not in record.curves]
    tensors = {name: record.schedule.curves[name].describe() for name in other}
    rest = f"<h3>Held throughout the run</h3>{pairs(tensors)}" if tensors else ""
    drawn = key + places(charts) if charts else ""
    return charts, section("Schedules over training", drawn, rest)


def _progress(record: Record) -> Part:
    begun = None
    if record.curves == record.learned:
        begun = origin(record.schedule.curves, record.rows, record.horizon)
    final = record.loss if record.status else None
    maybe = [losses(record.rows, begun, final), accuracies(record.rows), training(record)]
    charts = [chart for chart in maybe if chart is not None]
    metrics = list(dict.fromkeys(n for row in record.rows for n in row.validation_metrics))
    accurate = any(row.validation_accuracy is not None for row in record.rows)
    known = ["accuracy"] * accurate + metrics
    head = ["outer step", "validation loss", *known, "cost so far", "seconds"]
    wide = len(head)
    listed = table(
        [*head, "outcome", "what happened"], [_row(row, accurate, metrics) for row in record.rows],
        numeric=range(wide), long=(wide + 1,),
    )  # fmt: skip
    return charts, section("Outer steps", places(charts), listed)


def _row(row: OuterStep, accurate: bool, metrics: Sequence[str]) -> list[object]:
    """Of the table of outer steps."""
    came, accuracy, found = came_to(row), row.validation_accuracy, row.validation_metrics
    return [
        row.index, "" if came == "diverged" else number(row.validation_loss, 3),
        *(["" if accuracy is None else f"{100 * accuracy:.1f} %"] if accurate else []),
        *(number(found[name], 3) if name in found else "" for name in metrics),
        f"{row.cost:.1f}", f"{row.seconds:.1f}", came, row.note,
    ]  # fmt: skip


def _judged(record: Record) -> Part:
    if record.judged is None:
        return [], ""
    measure, ranked = record.judged
    caption = (
        f"{spaced(measure).capitalize()} of plain PyTorch trainings from scratch, on "
        f"{count(len(ranked[0].scores), 'seed')} that the search had not used, the same for every schedule."
    )
    charts = [ranking(ranked, measure, "schedule", "one training", caption)]
    digits, more = (2 if measure.endswith("accuracy") else 4), any(place.rmse for place in ranked)
    rows = []
    for place in ranked:
        values = (place.mean, place.standard_error, *place.scores)
        mean, error, *scores = (f"{value:.{digits}f}" for value in values)
        root = [number(statistics.fmean(place.rmse), 4)] if more and place.rmse else [""] * more
        rows.append([place.name, mean, error, *root, ", ".join(scores)])
    head = ["schedule", spaced(measure), "standard error", *["RMSE"] * more, "each"]
    listed = table(head, rows, numeric=range(1, 3 + more), long=(3 + more,))
    return charts, section("Fresh trainings", places(charts), listed)


def _hypergradients(record: Record) -> Part:
    charts = derivatives(record)
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
    return charts, section("Hypergradients over training", f"<p>{said}</p>", drawn)


def _cost(record: Record) -> Part:
    charts, rows = [costs(record)], Cost.of(record).table()
    total = sum(value for _, value in rows)
    shares = [[what, f"{v:.1f}", f"{v / total:.0%}" if total else ""] for what, v in rows]
    unit = (
        "<p>In plain training runs: one unit is as much as training once. A hypergradient counts as "
        "many as its engine's derivatives cost.</p>"
    )
    rows = [*shares, ["all", f"{total:.1f}", ""]]
    listed = table(["spent on", "plain runs", "share"], rows, numeric=(1, 2), long=(0,))
    return charts, section("Cost", unit, places(charts), listed)
