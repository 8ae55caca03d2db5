"""How the conformance table is printed: numbers in cells, reasons beneath."""

import collections
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from nongreedy.testing import TOLERANCE, Finding, Grade, Table

MOST = 20  # wrong cells that are listed one by one


def print_report(
    console: Console, table: Table, findings: Sequence[Finding], cells: bool, seconds: str
) -> None:
    """Print the table, why cells were skipped, what is wrong, and the sum of it all."""
    reasons = list[str]()
    console.print(_grid(table, findings, cells, reasons))
    for number, reason in enumerate(reasons, start=1):
        console.print(f"({number}) Skipped: {escape(reason.rstrip('.'))}.")
    wrong = [finding for finding in findings if not finding.passed]
    for finding in wrong[:MOST]:
        console.print(f"WRONG  {escape(str(finding))}", style="red")
    if len(wrong) > MOST:
        console.print(f"... and {len(wrong) - MOST} more.", style="red")
    counts = collections.Counter(finding.grade.name for finding in findings)
    grades = [grade.name for grade in Grade if counts[grade.name] or grade is Grade.wrong]
    summary = ", ".join(f"{counts[name]} {name}" for name in grades)
    console.print(f"\n{len(findings)} cells in {seconds}: {summary}.")
    console.print(
        f"Numbers are the largest relative errors against finite differences (at most {TOLERANCE:.0e});"
        " with s.e., of an estimate, in its own standard errors (at most 5)."
    )


def _footnotes(findings: Iterable[Finding], reasons: list[str]) -> str:
    """`` (1)`` for each reason for which one of these was skipped, numbered as they come."""
    skipped = dict.fromkeys(f.reason for f in findings if f.grade is Grade.skipped)
    reasons += [reason for reason in skipped if reason not in reasons]
    return "".join(f" ({reasons.index(reason) + 1})" for reason in skipped)


def _grid(table: Table, findings: Sequence[Finding], cells: bool, reasons: list[str]) -> Grid:
    """A section for each engine, a row for each optimizer, a column for each model."""
    titles = ["engine", "optimizer", *(["hyperparameter"] if cells else [])]
    grid = Grid(*titles, box=box.SIMPLE_HEAD)
    for model in table.models:
        grid.add_column(model, justify="right")
    for engine in table.engines:
        rows = _rows([f for f in findings if f.cell.engine == engine], cells)
        for place, (names, row) in enumerate(rows.items()):
            by_model = [[f for f in row if f.cell.model == model] for model in table.models]
            numbers = [_number(part, reasons) for part in by_model]
            grid.add_row(engine if not place else "", *names, *numbers)
        grid.add_section()
    return grid


def _rows(findings: Sequence[Finding], cells: bool) -> dict[tuple[str, ...], list[Finding]]:
    """Titles of a row -> what it sums up; one row for an engine that is skipped throughout."""
    rows = dict[tuple[str, ...], list[Finding]]()
    skipped = all(finding.grade is Grade.skipped for finding in findings)
    for finding in findings:
        names = (finding.cell.optimizer, finding.cell.hyperparameter)
        names = ("all", "all") if skipped else names
        rows.setdefault(names if cells else names[:1], []).append(finding)
    return rows


def _number(findings: Sequence[Finding], reasons: list[str]) -> str:
    """The largest error among these, and the footnotes of those that were skipped."""
    if not findings:
        return ""
    errors = {v: [f.error or 0.0 for f in findings if f.grade is v] for v in Grade}
    if errors[Grade.wrong]:
        return f"[red]WRONG {max(errors[Grade.wrong]):.0e}[/red]"
    parts = [f"{max(errors[Grade.exact]):.0e}"] if errors[Grade.exact] else []
    parts += [f"{max(errors[Grade.estimated]):.1f} s.e."] if errors[Grade.estimated] else []
    return (" ".join(parts) or "skipped") + _footnotes(findings, reasons)
