"""A search's memory while it runs: answers, trials and savepoints of one study."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..engines import Hypergradient
from ..engines._progress import Progress
from ..schedules import Schedule
from ..search import Answer, Memory, OuterStep, Ran, Request, Status
from ._answers import decoded, encoded, thinned
from ._savepoints import Savepoints
from ._storage import Storage
from ._trials import Parameters, Seen, final_trial, step_trial


class Session(Memory):
    """Remembers in a storage whatever a search is told.

    Args:
        alive: Called now and then while the search computes.
        part: Opens the memory of a part.
    """

    def __init__(
        self,
        storage: Storage,
        savepoints: Savepoints,
        parameters: Parameters,
        alive: Callable[[], None],
        part: Callable[[str, Mapping[str, Any]], Session],
    ):
        self.storage, self.savepoints, self.parameters = storage, savepoints, parameters
        self._alive, self._part = alive, part
        self._rows = {
            trial.user_attrs["outer_step"]: trial.user_attrs
            for trial in storage.trials()
            if "outer_step" in trial.user_attrs
        }
        self._seen, self._losses = Seen(), dict[object, dict[int, float]]()

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
        self._see(request, answer)
        return answer

    def remember(self, request: Request, answer: Answer) -> None:
        self.storage.write(f"answer:{request.key}", encoded(answer))
        self._see(request, answer)
        self._alive()

    def follow(self, request: Request, progress: Progress) -> Progress:
        def step(index: int) -> None:
            self._alive()
            progress(index)

        return self.savepoints.follow(request.key, step)

    def settle(self, row: OuterStep, schedule: Schedule) -> OuterStep:
        if row.index in self._rows:
            row = replace(row, seconds=float(self._rows[row.index]["row"]["seconds"]))
        else:
            losses = self._losses.get(schedule.identity, {})
            trial = step_trial(row, schedule, losses, self._seen, self.parameters)
            self.storage.add(trial)
            self._rows[row.index] = trial.user_attrs
        self._seen, self._losses = Seen(), {}
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
        return self._part(name, settings)

    def _see(self, request: Request, answer: Answer) -> None:
        if request.kind == "run":
            self._seen.runs.append(request.key)
        if isinstance(answer, Hypergradient):
            self._seen.sweeps.append((request, answer))
        elif isinstance(answer, Ran):
            self._losses.setdefault(request.schedule.identity, thinned(answer.losses))
