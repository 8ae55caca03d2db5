"""Is the schedule any good? Fresh trainings with it, beside what people tune by hand."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import nongreedy as ng
from nongreedy.comparison import MEASURES
from nongreedy.comparison._compare import FRESH

PEAKS = (0.03, 0.1, 0.3)  # one of these is usually close to the best hand-tuned cosine
TOLERANCE = 0.3  # accuracy points: a search from zero that ends within them has done its work


@dataclass
class Entry:
    """One schedule and what its fresh trainings gave, accuracies in percent."""

    name: str
    schedule: ng.Schedule
    measure: str = ""
    scores: list[float] = field(default_factory=list)
    diverged: int = 0

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores) if self.scores else math.nan

    @property
    def standard_error(self) -> float:
        """Standard error of the mean; nan for a single training."""
        count = len(self.scores)
        return statistics.stdev(self.scores) / math.sqrt(count) if count > 1 else math.nan

    def add(self, trained: ng.Retrained) -> None:
        """Take in one fresh training; one that diverged counts too, with what it guesses."""
        self.diverged += not math.isfinite(trained.validation_loss)
        measured = ((name, getattr(trained, name)) for name in MEASURES)
        self.measure, score = next(pair for pair in measured if pair[1] is not None)
        self.scores.append(100 * score if self.measure.endswith("accuracy") else score)

    def line(self) -> str:
        """``cosine, peak 0.1   97.12 ± 0.20 % test accuracy``."""
        digits, unit = (2, "% ") if self.measure.endswith("accuracy") else (4, "")
        spread = "" if math.isnan(self.standard_error) else f" ± {self.standard_error:.{digits}f}"
        note = f" ({self.diverged} of {len(self.scores)} diverged)" if self.diverged else ""
        what = unit + self.measure.replace("_", " ")
        return f"  {self.name:<20}  {self.mean:6.{digits}f}{spread} {what}{note}"

    def record(self) -> dict[str, Any]:
        """For the history file."""
        return {
            "name": self.name,
            "measure": self.measure,
            "scores": self.scores,
            "diverged": self.diverged,
            "mean": self.mean,
            "standard_error": self.standard_error,
        }


def fresh_seeds(seed: int, count: int) -> list[int]:
    """Seeds that the search with this seed did not use."""
    return [seed + FRESH + number for number in range(count)]


def entries(schedule: ng.Schedule) -> list[Entry]:
    """What is compared: the schedule found, and three hand-tuned cosines."""
    cosines = [Entry(f"cosine, peak {peak}", ng.cosine_schedule(peak)) for peak in PEAKS]
    return [Entry("the schedule found", schedule), *cosines]


def compare(
    train: Callable[..., ng.Retrained],
    table: Sequence[Entry],
    seeds: Sequence[int],
    *,
    started: Callable[[str], None],
    finished: Callable[[Entry], None],
) -> None:
    """Train afresh with every schedule, each on the same fresh seeds; fill in the table.

    Args:
        train: One training from scratch: ``train(schedule, seed=...)``.
        table: Filled in place, so that an interrupted comparison keeps what it has.
        seeds: The fresh seeds.
        started: Called with a description before each training.
        finished: Called with each entry that is complete.
    """
    for entry in table:
        for number, seed in enumerate(seeds, start=1):
            started(f"{entry.name}, training {number} of {len(seeds)}")
            entry.add(train(entry.schedule, seed=seed))
        finished(entry)


def verdict(table: Sequence[Entry]) -> str:
    """Where the schedule found stands, plainly."""
    found, *rivals = table
    if found.diverged:
        seeds = len(found.scores)
        return f"The schedule found is unreliable: {found.diverged} of {seeds} trainings diverged."
    if not found.measure.endswith("accuracy"):
        best = min(rivals, key=lambda entry: entry.mean)
        word = "below" if found.mean < best.mean else "not below"
        return f"The loss of the schedule found is {word} that of the best cosine ({best.name})."
    return _verdict_on_accuracy(found, max(rivals, key=lambda entry: entry.mean))


def _verdict_on_accuracy(found: Entry, best: Entry) -> str:
    ahead, rival = found.mean - best.mean, f"the best hand-tuned one ({best.name})"
    if ahead >= 0:
        place = f"is at or above {rival}: +{ahead:.2f} points"
    elif ahead > -TOLERANCE:
        place = f"is less than {TOLERANCE} points below {rival}: {ahead:.2f}"
    else:
        place = f"falls short of {rival} by {-ahead:.2f} points, {TOLERANCE} or more"
    unsure = math.hypot(*(_or_zero(entry.standard_error) for entry in (found, best)))
    return f"The schedule found {place} (standard error of the difference: {unsure:.2f})."


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
