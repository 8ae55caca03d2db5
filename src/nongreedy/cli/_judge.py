"""Is the schedule any good? Fresh trainings with it, beside what people tune by hand."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import nongreedy as ng
from nongreedy.comparison import Piece, Row
from nongreedy.comparison._compare import FRESH
from nongreedy.comparison._piece import measured, measures
from nongreedy.comparison._table import spread
from nongreedy.data import TargetScale
from nongreedy.search import Request
from nongreedy.search._gain import sure
from nongreedy.search.progress._screen import Screen

from ._names import PEAKS, REAL_PEAKS

FOUND = "the schedule found"
SCHEDULES = 1 + len(PEAKS)  # that are trained on each seed
_KEPT = "fresh trainings"  # the note of a study
Train = Callable[..., ng.Retrained]


def fresh_seeds(seed: int, count: int) -> list[int]:
    """Seeds that the search with this seed did not use."""
    return [seed + FRESH + number for number in range(count)]


def piece(name: str, seed: int, trained: ng.Retrained) -> Piece:
    """One fresh training; if it diverged, it counts with the class that it guesses."""
    loss, fresh = trained.validation_loss, measured([measures(trained)])
    diverged = int(not math.isfinite(loss))
    return Piece(name, seed, 1.0, loss, fresh, None, [], [], runs=1, unfinished=diverged, seconds=0)


class Kept:
    """Fresh trainings that a study keeps: each is paid once, whatever ends the comparison.

    Args:
        study: Where they are kept.
        steps: Length of each training.
    """

    def __init__(self, study: ng.Study, steps: int):
        self.study, self.steps = study, steps
        found = study.notes().get(_KEPT)
        self.rows: dict[str, Any] = found if isinstance(found, dict) else {}

    def piece(self, name: str, schedule: ng.Schedule, seed: int, train: Train) -> Piece:
        """What is kept of this training, or what it comes to now."""
        key = Request("fresh", schedule, seed, self.steps).key
        if key not in self.rows:
            self.rows[key] = piece(name, seed, train(schedule, seed=seed)).to_json()
            self.study.note(_KEPT, self.rows)
        return replace(Piece.from_json(self.rows[key]), method=name)


def judge(
    schedule: ng.Schedule,
    train: Train,
    rival: Train,
    seeds: Sequence[int],
    screen: Screen,
    pieces: list[Piece],
    kept: Kept,
    scale: TargetScale | None = None,
) -> None:
    """Train afresh with a schedule and with hand-tuned ones, each on the same fresh seeds.

    Args:
        schedule: What the search found.
        train: One training from scratch: ``train(schedule, seed=...)``.
        rival: The same with the hand-tuned schedules, which know nothing of averages.
        pieces: Each training is added at once, so that an interrupted comparison keeps what it has.
        kept: What was trained before.
        scale: Of real targets, to say their losses in the units of these, too.
    """
    peaks = PEAKS if scale is None else REAL_PEAKS
    cosines = {f"cosine, peak {peak}": ng.cosine_schedule(peak) for peak in peaks}
    schedules = {FOUND: schedule, **cosines}
    with screen.bar(len(schedules) * len(seeds)) as started:
        for name, trained in schedules.items():
            for number, seed in enumerate(seeds, start=1):
                started(f"{name}, training {number} of {len(seeds)}")
                by = train if name == FOUND else rival
                pieces.append(kept.piece(name, trained, seed, by))
            screen.say(line(pieces[-len(seeds) :], scale))
    screen.say(verdict(pieces))


def line(pieces: Sequence[Piece], scale: TargetScale | None = None) -> str:
    """Of one schedule: ``cosine, peak 0.1   97.12 ± 0.20 % test accuracy``."""
    compared = ng.Comparison(pieces)
    (row,) = compared.rows()
    score = spread(row, compared.measure.endswith("accuracy"))
    note = f" ({_diverged(row)} of {len(row.scores)} diverged)" if row.unfinished else ""
    if scale is not None and math.isfinite(row.mean):
        _, mean, error = _rmse(row, scale)
        note = f", RMSE {mean:.4g}" + ("" if math.isnan(error) else f" ± {error:.2g}") + note
    return f"  {row.method:<20}  {worded(f'{score:>13}', compared.measure)}{note}"


def _rmse(row: Row, scale: TargetScale) -> tuple[list[float], float, float]:
    """Of losses that are mean squared errors: in the units of the targets, their mean, its error."""
    roots = [scale.deviation * math.sqrt(score) for score in row.scores]
    known = len(roots) > 1 and all(map(math.isfinite, roots))
    error = statistics.stdev(roots) / math.sqrt(len(roots)) if known else math.nan
    return roots, math.fsum(roots) / len(roots), error


def worded(score: str, measure: str) -> str:
    """``97.12 % test accuracy``."""
    return f"{score}{' %' if measure.endswith('accuracy') else ''} {measure.replace('_', ' ')}"


def records(pieces: Sequence[Piece], scale: TargetScale | None = None) -> list[dict[str, Any]]:
    """For the history file, a schedule each; accuracies in percent."""
    compared = ng.Comparison(pieces)
    factor = 100 if compared.measure.endswith("accuracy") else 1
    rows = {row.method: row for row in compared.rows()}
    return [
        {
            "name": name,
            "measure": compared.measure,
            "scores": [factor * score for score in rows[name].scores],
            "diverged": _diverged(rows[name]),
            "mean": factor * rows[name].mean,
            "standard_error": factor * rows[name].standard_error,
            **({} if scale is None else {"rmse": _rmse(rows[name], scale)[0]}),
        }
        for name in dict.fromkeys(piece.method for piece in pieces)
    ]


def verdict(pieces: Sequence[Piece]) -> str:
    """Where the schedule found stands among the others, plainly."""
    compared = ng.Comparison(pieces)
    ours = next(row for row in compared.rows() if row.method == FOUND)
    best = next(row for row in compared.rows() if row.method != FOUND)
    if ours.unfinished:
        failed = f"{_diverged(ours)} of {len(ours.scores)} trainings diverged"
        return f"The schedule found is unreliable: {failed}."
    return _by_differences(ours, best, compared.measure.endswith("accuracy"))


def _by_differences(ours: Row, best: Row, percent: bool) -> str:
    """On the same seeds, in words that noise does not earn."""
    if not math.isfinite(best.mean):
        return "Each of the fixed cosines diverged at least once, and the schedule found did not."
    factor, unit, what = (100, " points", "accuracy") if percent else (1, "", "loss")
    differences = [factor * (a - b) for a, b in zip(ours.scores, best.scores, strict=True)]
    ahead, seeds = statistics.fmean(differences), len(differences)
    form = "+.2f" if percent else "+.4f"
    found, of = (
        ("the schedule found", "") if percent else ("the loss of the schedule found", "that of ")
    )
    rival = f"{of}the best of {len(PEAKS)} fixed cosines, chosen by the same {what} ({best.method})"
    if seeds < 2:
        return (
            f"On one seed, which may be luck, {found} differs by {ahead:{form}}{unit} from {rival}."
        )
    error = statistics.stdev(differences) / math.sqrt(seeds)
    if abs(ahead) <= sure(seeds) * error:
        place = "cannot be told from"
    elif percent:
        place = "is above" if ahead > 0 else "falls short of"
    else:
        place = "is below" if ahead < 0 else "is above"
    measured = f"{ahead:{form}} ± {error:{form[1:]}}{unit} on {seeds} common seeds"
    return f"{found.capitalize()} {place} {rival}: {measured}."


def _diverged(row: Row) -> int:
    return round(row.unfinished * len(row.scores))
