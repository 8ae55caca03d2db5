"""How far a search is, and how long it will take yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ..search._words import duration


@dataclass(frozen=True)
class Progress:
    """One step.

    Attributes:
        stage: "search", "choose" or "train".
        step: Done, of `steps` in this stage.
        seconds_left: Of all stages, as far as it can be told; NaN while an architecture is chosen.
        loss: Of training.
        cost: Average by the gates, in the table's unit; NaN before they move.
        price: Of the logarithm of the cost.
    """

    stage: str
    step: int
    steps: int
    seconds_left: float
    loss: float = float("nan")
    cost: float = float("nan")
    price: float = 0.0

    def __str__(self) -> str:
        cost = "" if self.cost != self.cost else f", cost {self.cost:.3g} at price {self.price:.3g}"
        loss = "" if self.loss != self.loss else f", loss {self.loss:.3f}"
        known = self.seconds_left == self.seconds_left
        left = f", about {duration(self.seconds_left)} left" if known else ""
        return f"{self.stage} {self.step}/{self.steps}{loss}{cost}{left}"


Watch = Callable[[Progress], None]


class Clock:
    """Time left, from the time that steps of a stage have taken and the steps that follow it."""

    def __init__(self, done: int, steps: int, later: int):
        self.begin, self.first, self.steps, self.later = time.monotonic(), done, steps, later

    def left(self, done: int) -> float:
        taken = time.monotonic() - self.begin
        return taken / max(1, done - self.first) * (self.steps - done + self.later)


def tenths(watch: Watch) -> Watch:
    """Only about ten lines for each stage."""

    def sparse(row: Progress) -> None:
        if row.step == row.steps or row.step % max(1, row.steps // 10) == 0:
            watch(row)

    return sparse
