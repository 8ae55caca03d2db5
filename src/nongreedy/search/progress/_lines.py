"""Progress for logs: a line per outer step, by Python's own logging."""

from __future__ import annotations

import logging
from collections import Counter
from typing import final

from ...schedules._settings import base
from .. import Callback, OuterStep, Result
from .._outlook import Outlook
from .._words import duration, number, spaced
from ._columns import note
from ._time_left import TimeLeft

LOGGER = logging.getLogger("nongreedy")


@final
class Lines(Callback):
    """Says each outer step, and what the search came to, at level INFO of the logger ``nongreedy``.

    Where nobody has configured logging, the lines go to standard error while the search runs.
    """

    def __init__(self) -> None:
        self._left: TimeLeft | None = None
        self._handler: logging.Handler | None = None
        self._level = LOGGER.level

    def on_begin(self, outlook: Outlook) -> None:
        self._left = TimeLeft(outlook)
        if not LOGGER.hasHandlers():
            self._handler = logging.StreamHandler()
            self._handler.setFormatter(logging.Formatter("[nongreedy %(asctime)s] %(message)s"))
            LOGGER.addHandler(self._handler)
            LOGGER.setLevel(logging.INFO)

    def on_outer_step(self, row: OuterStep) -> None:
        if self._left is None:
            return
        self._left.add(row)
        accuracy, left = row.validation_accuracy, self._left.seconds
        told = [
            f"{self._left.outlook.step(row.index + 1)}: "
            f"validation loss {number(row.validation_loss, digits=3)}",
            "" if accuracy is None else f"accuracy {100 * accuracy:.1f} %",
            f"cost {row.cost:.1f} plain runs",
            "" if left is None else f"about {duration(max(left, 1))} left",
        ]
        ending = note(row)
        LOGGER.info("%s%s", ", ".join(filter(None, told)), f" ({ending})" if ending else "")

    def on_result(self, result: Result) -> None:
        LOGGER.info("%s", outcome(result))

    def on_end(self) -> None:
        if self._handler is not None:
            LOGGER.removeHandler(self._handler)
            LOGGER.setLevel(self._level)
            self._handler = None


def outcome(result: Result) -> str:
    """What a search came to, in a sentence or two."""
    verdict = f" {result.gain.verdict}" if result.gain else ""
    return " ".join(
        [
            f"{spaced(result.status.name).capitalize()}: validation loss "
            f"{number(result.validation_loss, digits=3)} for {result.cost:.1f} plain runs.{verdict}",
            *still(result),
        ]
    )


def still(result: Result) -> list[str]:
    """Which hyperparameters did not move, and why: a sentence for each reason."""
    sentences = list[str]()
    for why in dict.fromkeys(result.unmoved.values()):
        families = Counter(base(name)[0] for name, of in result.unmoved.items() if of == why)
        alone = {base(n)[0]: spaced(n) for n, of in result.unmoved.items() if of == why}
        names = [
            alone[what] if many == 1 else f"{spaced(what)} of {many} groups"
            for what, many in families.items()
        ]
        listed = ", ".join(names)
        sentences.append(f"{listed[:1].upper()}{listed[1:]} did not move: {why}.")
    return sentences
