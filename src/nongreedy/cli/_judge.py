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
from nongreedy.search import Request
from nongreedy.search._gain import sure
from nongreedy.search.progress._screen import Screen

from ._names import PEAKS

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
) -> None:
    """Train afresh with a schedule and with hand-tuned ones, each on the same fresh seeds.

    Args:
        schedule: What the search found.
        train: One training from scratch: ``train(schedule, seed=...)``.
        rival: The same with the hand-tuned schedules, which know nothing of averages.
        pieces: Each training is added at once, so that an interrupted comparison keeps what it has.
        kept: What was trained before.
    """
    cosines = {f"cosine, peak {peak}": ng.cosine_schedule(peak) for peak in PEAKS}
    schedules = {FOUND: schedule, **cosines}
    with screen.bar(len(schedules) * len(seeds)) as started:
        for name, trained in schedules.items():
            for number, seed in enumerate(seeds, start=1):
                started(f"{name}, training {number} of {len(seeds)}")
                by = train if name == FOUND else rival
                pieces.append(kept.piece(name, trained, seed, by))
            screen.say(line(pieces[-len(seeds) :]))
    screen.say(verdict(pieces))


def line(pieces: Sequence[Piece]) -> str:
    """Of one schedule: ``cosine, peak 0.1   97.12 ± 0.20 % test accuracy``."""
    compared = ng.Comparison(pieces)
    (row,) = compared.rows()
    score = spread(row, compared.measure.endswith("accuracy"))
    note = f" ({_diverged(row)} of {len(row.scores)} diverged)" if row.unfinished else ""
    return f"  {row.method:<20}  {worded(f'{score:>13}', compared.measure)}{note}"


def worded(score: str, measure: str) -> str:
    """``97.12 % test accuracy``."""
    return f"{score}{' %' if measure.endswith('accuracy') else ''} {measure.replace('_', ' ')}"


def records(pieces: Sequence[Piece]) -> list[dict[str, Any]]:
    """For the history file, a schedule each; accuracies in percent."""
    compared = ng.Comparison(pieces)
    scale = 100 if compared.measure.endswith("accuracy") else 1
    rows = {row.method: row for row in compared.rows()}
    return [
        {
            "name": name,
            "measure": compared.measure,
            "scores": [scale * score for score in rows[name].scores],
            "diverged": _diverged(rows[name]),
            "mean": scale * rows[name].mean,
            "standard_error": scale * rows[name].standard_error,
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
    if not compared.measure.endswith("accuracy"):
        word = "below" if ours.mean < best.mean else "not below"
        return f"The loss of the schedule found is {word} that of the best cosine ({best.method})."
    return _verdict_on_accuracy(ours, best)


def _verdict_on_accuracy(ours: Row, best: Row) -> str:
    """By the differences on the same seeds, in words that noise does not earn."""
    differences = [100 * (a - b) for a, b in zip(ours.scores, best.scores, strict=True)]
    ahead, seeds = statistics.fmean(differences), len(differences)
    rival = f"the best of {len(PEAKS)} fixed cosines, chosen by the same accuracy ({best.method})"
    if seeds < 2:
        differs = f"the schedule found differs by {ahead:+.2f} points from {rival}"
        return f"On one seed, which may be luck, {differs}."
    error = statistics.stdev(differences) / math.sqrt(seeds)
    if abs(ahead) <= sure(seeds) * error:
        place = "cannot be told from"
    else:
        place = "is above" if ahead > 0 else "falls short of"
    return f"The schedule found {place} {rival}: {ahead:+.2f} ± {error:.2f} points on {seeds} common seeds."


def _diverged(row: Row) -> int:
    return round(row.unfinished * len(row.scores))
