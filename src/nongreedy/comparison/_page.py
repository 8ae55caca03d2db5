"""The page of a comparison: ranking, regret against cost, the table, what it was made with."""

import math
from collections.abc import Sequence

from ..errors import ScheduleFileError
from ..reports._document import document, facts, places, settings
from ..reports._markup import Html, pairs, section, swatch, table, text
from ..reports._ranking import Place, ranking
from ..schedules import Schedule
from ..schedules._drawing._chart import Chart, Line
from ..schedules._drawing._schedules import together
from ..schedules._drawing._sketch import sketches
from ..search._words import count, duration, spaced
from ._table import ALIKE, Row, Table, alike


def page(compared: Table, regret: Chart) -> str:
    """The whole document."""
    rows = compared.rows()
    ranked = _ranking(compared, rows)
    results = section("Results", _two_orders(compared), places([ranked]), places([regret]))
    body = [_head(compared, rows), results, _table(compared, regret), _found(compared, rows)]
    if compared.skipped:
        body.append(section("Left out", pairs(compared.skipped)))
    body.append(settings(compared.settings))
    beside = "compare.png beside this page shows the regret without"
    return document(f"Comparison: {compared.task}", body, [ranked, regret], beside)


def _head(compared: Table, rows: Sequence[Row]) -> str:
    cells, made_with = compared.cells(), compared.settings
    best, seeds = rows[0], len({piece.seed for piece in compared.pieces})
    several = all(not math.isnan(row.standard_error) for row in rows if row.scores)
    near = f"{len(alike(rows))} of {len(rows)}" if several else "unknown"
    why = (
        f"means within {ALIKE:g} standard errors of the best"
        if several
        else "a single search of a method says nothing of its scatter"
    )
    what = spaced(compared.measure)
    entries = {
        "Best mean": (best.method, f"{what} {cells[0][1]}, over searches"),
        "Not told apart": (near, why),
        "Budget": (f"{made_with.get('budget', 0):g} plain runs", "at most, for each search"),
        "Searches": (len(compared.pieces), f"finished, of {seeds * len(rows)}"),
        "Time": (duration(sum(p.seconds for p in compared.pieces)), "that the searches took"),
    }
    lead = (
        f"{count(len(rows), 'method')} searched for schedules of {made_with.get('steps')} steps at equal "
        "cost, counted in gradients. What each search chose on validation data was trained afresh "
        f"{count(made_with.get('retrain_seeds', 0), 'time')} on seeds that no search had used."
    )
    return f"<h1>Comparison: {text(compared.task)}</h1>\n<p>{text(lead)}</p>\n{facts(entries)}"


def _two_orders(compared: Table) -> str:
    """Why the ranking and the regret may differ, where both stand."""
    what, least = spaced(compared.measure), "validation loss"
    if compared.measure == "validation_loss":
        return ""
    losses = {row.method: row.validation_loss for row in compared.rows() if row.scores}
    if not losses:
        return ""
    best, lowest = compared.rows()[0].method, min(losses, key=lambda name: losses[name])
    differ = f"Here {best} has the best {what}, and {lowest} the lowest {least}. "
    why = "these are other examples."
    if what.endswith("accuracy"):
        why = "a loss also counts how sure the answers are, and an accuracy only whether they are right."
    said = (
        f"The ranking is by {what}, the regret by {least}, which is what searches minimize. "
        f"{differ if best != lowest else ''}The two orders may differ: {why}"
    )
    return f"<p>{text(said)}</p>"


def _found(compared: Table, rows: Sequence[Row]) -> str:
    """The schedules found, a row of small charts for each method, a line for each search."""
    parts, steps = list[str](), int(compared.settings.get("steps") or 0) or None
    for row in rows:
        schedules, refused = list[Schedule](), list[str]()
        for piece in compared.pieces:
            if piece.method != row.method or piece.schedule is None:
                continue
            try:
                schedules.append(Schedule.from_json(piece.schedule, source=piece.key))
            except ScheduleFileError as error:  # the paper's ranges hold values that nobody can use
                refused.append(f"<p>Not drawn: {text(error)}</p>")
        if schedules or refused:
            charts = together([schedule.curves for schedule in schedules], steps)
            parts += [f"<h3>{text(row.method)}</h3>", sketches(charts), *refused]
    lead = "<p>A line for each outer seed: where they agree, chance has not chosen.</p>"
    return section("Schedules found", lead, *parts) if parts else ""


def _ranking(compared: Table, rows: Sequence[Row]) -> Chart:
    scale = 100 if compared.measure.endswith("accuracy") else 1
    ranked = [
        Place(r.method, [scale * s for s in r.scores], scale * r.mean, scale * r.standard_error)
        for r in rows
    ]
    caption = (
        f"{spaced(compared.measure).capitalize()} of the choice of each search, mean over its "
        f"fresh trainings, and their mean over searches. Best at the top: {rows[0].method}."
    )
    return ranking(ranked, compared.measure, "method", "one search", caption)


def _table(compared: Table, regret: Chart) -> str:
    lines = {line.label: line for line in regret.marks if isinstance(line, Line)}
    rows = []
    for name, *rest in compared.cells():
        mark = swatch(lines[name].colour, lines[name].dash) if name in lines else ""
        rows.append([Html(mark + text(name)), *rest])
    return section("Table", table(compared.head(), rows, numeric=range(3, 8), long=(2,)))
