"""Tables of the suite in Markdown, from the pieces that are done."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from nongreedy.comparison import Piece

from ._entry import Entry
from ._pieces import Place
from ._scores import FOUR, Scores, gains, grouped, standings

OURS = ("default", "recipe", "agreement", "paper")


def scores_of(
    pieces: Mapping[Place, Piece], tasks: Mapping[str, Entry], budget: float
) -> dict[str, dict]:
    """Of one budget; tasks in the order of their table."""
    measured = {
        (place.task, place.method, place.seed): piece.score(tasks[place.task].measure)
        for place, piece in pieces.items()
        if place.budget == budget
    }

    def better(task: str, value: float) -> float:
        return 100 * value if tasks[task].higher else -100 * value

    found = grouped(measured, better)
    return {task: found[task] for task in tasks if task in found}


def markdown(pieces: Mapping[Place, Piece], tasks: Mapping[str, Entry]) -> str:
    """Everything, a section for each budget."""
    budgets = sorted({place.budget for place in pieces})
    sections = [_section(pieces, tasks, budget) for budget in budgets]
    return "\n\n".join(sections) or "Nothing is done yet."


def _section(pieces: Mapping[Place, Piece], tasks: Mapping[str, Entry], budget: float) -> str:
    scores = scores_of(pieces, tasks, budget)
    blocks = [
        f"## Budget {budget:g}",
        "Mean ± standard error over searches: test accuracy (%), or test loss times 100.",
        per_task(scores, tasks),
        "Over all tasks in which a method took part: regret is the mean distance to the best of a task, "
        "in these units; near are tasks on which it is at most one standard error below the best.",
        over_tasks(scores),
    ]
    for name in OURS:
        if any(name in row for row in scores.values()):
            four = ", ".join(FOUR)
            blocks += [f"`{name}` less the best of {four}:", against(scores, name)]
    return "\n\n".join(blocks)


def per_task(scores: Scores, tasks: Mapping[str, Entry]) -> str:
    """Methods down, tasks across; the best of a task in bold."""
    names = [*standings(scores)]
    rows = []
    for name in names:
        cells = []
        for task, row in scores.items():
            if name not in row:
                cells.append("")
                continue
            score, sign = row[name], 1 if tasks[task].higher else -1
            words = spread(sign * score.mean, score.error)
            words += "" if len(score.values) > 1 else " (1)"
            first = score.mean == max(other.mean for other in row.values())
            cells.append(f"**{words}**" if first else words)
        rows.append([name, *cells])
    return lines(["method", *scores], rows)


def over_tasks(scores: Scores) -> str:
    """One line for each method, least mean rank first."""
    rows = [
        [name, f"{s.rank:.2f}", f"{s.regret:.2f}", f"{s.wins}", f"{s.near}", f"{s.tasks}"]
        for name, s in standings(scores).items()
    ]
    return lines(["method", "mean rank", "mean regret", "wins", "near", "tasks"], rows)


def against(scores: Scores, name: str) -> str:
    """Its gain over the best of the four on each task, and the median."""
    found = gains(scores, name)
    rows = [
        [
            task,
            gain.rival,
            spread(gain.gain, gain.error, signed=True),
            _verdict(gain.gain, gain.error),
        ]
        for task, gain in found.items()
    ]
    if found:
        middle = statistics.median(gain.gain for gain in found.values())
        rows.append(["median", "", f"{middle:+.2f}", ""])
    return lines(["task", "best of the four", "gain", ""], rows)


def _verdict(gain: float, error: float) -> str:
    if math.isnan(error):
        return "one search says nothing of its scatter"
    if abs(gain) <= error:
        return "within one standard error"
    return "above" if gain > 0 else "below"


def spread(mean: float, error: float, signed: bool = False) -> str:
    """Mean ± standard error."""
    if math.isinf(mean):
        return "nothing found"
    words = f"{mean:+.2f}" if signed else f"{mean:.2f}"
    return words if math.isnan(error) else f"{words} ± {error:.2f}"


def lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    every = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in every)
