"""A search's memory while it runs: answers, trials and savepoints of one study."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..engines import Hypergradient
from ..engines._progress import Progress
from ..errors import StudyError
from ..schedules import Schedule, spelled
from ..search import Answer, Memory, OuterStep, Ran, Request, Status
from ._answers import decoded, encoded, thinned
from ._savepoints import Keeper, Savepoints
from ._storage import Storage
from ._trials import Parameters, final_trial, step_trial

# A search that goes on under other versions or threads is as good, but not the same to the last bit.
_BITS_ONLY = ("nongreedy", "torch", "threads")


class Session(Memory):
    """Remembers in a storage whatever a search with these settings is told.

    Args:
        seconds: Least time between two savepoints.
        alive: Called now and then while the search computes.
    """

    def __init__(
        self,
        storage: Storage,
        settings: Mapping[str, Any],
        parameters: Parameters,
        seconds: float,
        alive: Callable[[], None] | None = None,
    ):
        _check(storage, json.loads(json.dumps(settings)))
        self.storage, self.parameters = storage, parameters
        self._alive = alive or (lambda: None)
        self.savepoints = Savepoints(storage.address.states(storage.name), seconds)
        self._rows = {
            trial.user_attrs["outer_step"]: trial.user_attrs
            for trial in storage.trials()
            if "outer_step" in trial.user_attrs
        }
        self._begin_step()

    def _begin_step(self) -> None:
        """Nothing was asked for yet in this outer step."""
        self._runs, self._losses = list[str](), dict[object, dict[int, float]]()
        self._sweeps = list[tuple[Request, Hypergradient]]()

    def recall(self, request: Request) -> Answer | None:
        content = self.storage.read(f"answer:{request.key}")
        if content is None:
            return None
        try:
            answer = decoded(content)
        except ValueError as error:
            warnings.warn(
                f"An answer of study {self.storage.name!r} cannot be used ({error}) and is computed "
                "again.",
                stacklevel=2,
            )
            return None
        self._count(request, answer)
        return answer

    def remember(self, request: Request, answer: Answer) -> None:
        self.storage.write(f"answer:{request.key}", encoded(answer))
        self._count(request, answer)
        self._alive()

    def follow(self, request: Request, progress: Progress) -> Progress:
        def step(index: int) -> None:
            self._alive()
            progress(index)

        return Keeper(self.savepoints, request.key, step)

    def settle(self, row: OuterStep, schedule: Schedule) -> OuterStep:
        if row.index in self._rows:
            row = replace(row, seconds=float(self._rows[row.index]["row"]["seconds"]))
        else:
            losses = self._losses.get(schedule.identity, {})
            trial = step_trial(row, schedule, losses, self._runs, self._sweeps, self.parameters)
            self.storage.add(trial)
            self._rows[row.index] = trial.user_attrs
        self._begin_step()
        return row

    def finish(self, best: Schedule, loss: float, status: Status, cost: float) -> None:
        if status is Status.interrupted:
            return  # the search can go on
        if "final" not in self._rows:
            trial = final_trial(best, loss, status.name, cost, self.parameters)
            self.storage.add(trial)
            self._rows["final"] = trial.user_attrs
        self.note("finished", status.name)
        self.savepoints.clear()

    def noted(self, name: str) -> Any:
        return self.storage.read(f"note:{name}")

    def note(self, name: str, value: Any) -> None:
        if self.noted(name) is None:
            self.storage.write(f"note:{name}", value)
            self._alive()

    def part(self, name: str, settings: Mapping[str, Any]) -> Session:
        """A study beside it, named after it, that whoever holds the whole holds, too."""
        beside = self.storage.beside(f"{self.storage.name}|{name}")
        parameters = replace(self.parameters, hyperparameters={})
        return Session(beside, settings, parameters, self.savepoints.seconds, self._alive)

    def _count(self, request: Request, answer: Answer) -> None:
        if request.kind == "run":
            self._runs.append(request.key)
        if isinstance(answer, Hypergradient):
            self._sweeps.append((request, answer))
        elif isinstance(answer, Ran):
            self._losses.setdefault(request.schedule.identity, thinned(answer.losses))


def _shown(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key)
    return spelled(value) if isinstance(value, Mapping) else repr(value)


def _check(storage: Storage, settings: Mapping[str, Any]) -> None:
    """Write the settings of a new study; refuse others for an old one."""
    before = storage.read("settings")
    if before is None:
        storage.write("settings", dict(settings))
        return
    lines = {
        key: f"{key}: {_shown(before, key)} in the study, {_shown(settings, key)} now"
        for key in sorted({*before, *settings})
        if before.get(key) != settings.get(key)
    }
    grave = [line for key, line in lines.items() if key not in _BITS_ONLY]
    if grave:
        raise StudyError(
            f"Study {storage.name!r} in {storage.address.shown!r} was made with other settings ("
            + "; ".join(grave)
            + "). Use those, or give the new search a name or a file of its own."
        )
    if lines:
        warnings.warn(
            "The study goes on under other conditions, so that its end will not have the same bits as "
            "that of an undisturbed search: " + "; ".join(lines.values()) + ".",
            stacklevel=3,
        )
