"""Who may watch a search."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from ..engines import Engine
from ..schedules import Schedule
from ._outer_step import OuterStep
from ._outlook import Outlook
from ._result import Result


class Callback:
    """Hooks of a search, each empty by default. What they raise ends the search."""

    def on_begin(self, outlook: Outlook) -> None:
        """The search begins: what it may take."""

    def on_engine(self, engine: Engine, reason: str) -> None:
        """It goes on with this engine: the planner's choice and its reason, or asked for."""

    def on_run_start(self, label: str, steps: int) -> None:
        """A run or sweep of `steps` inner steps begins."""

    def on_inner_step(self, step: int, steps: int) -> None:
        """Inner step number `step` (0-based, counted as done in this run or sweep) is finished."""

    def on_schedule(self, schedule: Schedule) -> None:
        """An outer step is finished, with all curves of the schedule that it came to; then its row."""

    def on_outer_step(self, row: OuterStep) -> None:
        """An outer step is finished."""

    def on_result(self, result: Result) -> None:
        """The search has come to this."""

    def on_end(self) -> None:
        """The search is over, by its result, an error or the keyboard: close what is open."""


class Callbacks(Callback):
    """Several callbacks as one; a context that ends with `on_end`.

    Raises:
        TypeError: Something else than callbacks.
    """

    def __init__(self, *callbacks: Iterable[Callback]):
        self.callbacks = [one for given in callbacks for one in _checked(given)]

    def __enter__(self) -> Callbacks:
        return self

    def __exit__(self, *_: object) -> None:
        self.on_end()

    def on_begin(self, outlook: Outlook) -> None:
        for callback in self.callbacks:
            callback.on_begin(outlook)

    def on_engine(self, engine: Engine, reason: str) -> None:
        for callback in self.callbacks:
            callback.on_engine(engine, reason)

    def on_run_start(self, label: str, steps: int) -> None:
        for callback in self.callbacks:
            callback.on_run_start(label, steps)

    def on_inner_step(self, step: int, steps: int) -> None:
        for callback in self.callbacks:
            callback.on_inner_step(step, steps)

    def on_schedule(self, schedule: Schedule) -> None:
        for callback in self.callbacks:
            callback.on_schedule(schedule)

    def on_outer_step(self, row: OuterStep) -> None:
        for callback in self.callbacks:
            callback.on_outer_step(row)

    def on_result(self, result: Result) -> None:
        for callback in self.callbacks:
            callback.on_result(result)

    def on_end(self) -> None:
        with ExitStack() as stack:  # all of them, even where one raises
            for callback in reversed(self.callbacks):
                stack.callback(callback.on_end)


def _checked(given: Any) -> list[Callback]:
    if isinstance(given, Callback):
        raise TypeError(f"`callbacks` must be a list: callbacks=[{type(given).__name__}(...)].")
    found = list(given) if isinstance(given, Iterable) else [given]
    for one in found:
        if not isinstance(one, Callback):
            raise TypeError(
                f"`callbacks` must be a list of nongreedy.Callback objects, but got {one!r:.80}. Subclass "
                "it, define a hook such as on_outer_step(self, row), and pass an object of that class."
            )
    return found
