"""A search's memory while it runs: answers, trials and savepoints of one study."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

from optuna.trial import FrozenTrial

from ..engines import Hypergradient
from ..engines._progress import Progress
from ..schedules import Schedule
from ..search import Answer, Gain, Memory, OuterStep, Ran, Request, Status
from ._answers import decoded, encoded, thinned
from ._kept_settings import Limit, settle
from ._queue import Queue
from ._savepoints import Keeper, Savepoints
from ._storage import Storage
from ._trials import CONSTRAINT_KEY, SUPERSEDED, Parameters, current, final_trial, step_trial

_FINISHED = "note:finished"


class Session(Memory):
    """Remembers in a storage whatever a search with these settings is told.

    What is asked for again has the answer of before, whatever the other settings are: so a search may
    be extended, and tells its outer steps once more. From the first one on that comes out otherwise, as
    a larger budget may let the rule decide otherwise, the trials of before are superseded.

    Args:
        seconds: Least time between two savepoints.
        alive: Called now and then while the search computes.
        raised: Settings that may be larger than in the study, and what they allow for.
        queue: Of the pieces of work that other processes share; None where this one has all.
    """

    def __init__(
        self,
        storage: Storage,
        settings: Mapping[str, Any],
        parameters: Parameters,
        seconds: float,
        alive: Callable[[], None] | None = None,
        raised: Mapping[str, Limit] | None = None,
        queue: Queue | None = None,
    ):
        self.storage, self.parameters, self._queue = storage, parameters, queue
        settle(storage, json.loads(json.dumps(settings)), raised or {}, before_writing=self._reopen)
        self._alive = alive or (lambda: None)
        self.savepoints = Savepoints(storage.address.states(storage.name), seconds)
        self._trials, self._told, self._over = current(storage.trials()), 0, False
        # Training curves of all schedules: a step may end where an earlier one has been.
        self._losses = dict[object, dict[int, float]]()
        self._begin_step()

    @property
    def steps(self) -> int:
        return len(self._trials.keys() - {"final"})

    def _reopen(self) -> None:
        """The search goes on after its end."""
        if self.storage.read(_FINISHED) is not None:
            self.storage.write(_FINISHED, None)

    def _begin_step(self) -> None:
        """Nothing was asked for yet in this outer step."""
        self._runs = list[str]()
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

    def knows(self, request: Request) -> bool:
        return self.storage.has(f"answer:{request.key}")

    def remember(self, request: Request, answer: Answer) -> None:
        self._reopen()
        self.storage.write(f"answer:{request.key}", encoded(answer))
        self._count(request, answer)
        self._alive()

    def follow(self, request: Request, progress: Progress) -> Progress:
        def step(index: int) -> None:
            self._alive()
            progress(index)

        return Keeper(self.savepoints, request.key, step)

    def settle(self, row: OuterStep, schedule: Schedule) -> OuterStep:
        kept = self._trials.get(row.index)
        if kept is not None and _same(kept.user_attrs["row"], row):
            row = replace(row, seconds=float(kept.user_attrs["row"]["seconds"]))
        else:
            self._supersede(row.index)
            losses = self._losses.get(schedule.identity, {})
            self._add(step_trial(row, schedule, losses, self._runs, self._sweeps, self.parameters))
        self._begin_step()
        self._told = row.index + 1
        return row

    def finish(
        self, best: Schedule, loss: float, status: Status, cost: float, gain: Gain | None = None
    ) -> None:
        if status is Status.interrupted or self._over:
            return  # the search can go on; or a comparison says again what its search said
        told = gain.to_json() if gain else None
        trial = final_trial(best, loss, status.name, cost, told, self.parameters)
        kept = self._trials.get("final")
        if kept is None or not _told_again(kept, trial):
            self._reopen()
            self._supersede(self._told)
            self._add(trial)
        self.note("finished", status.name)
        self.savepoints.clear()
        self._over = True

    def _add(self, trial: FrozenTrial) -> None:
        self.storage.add(trial)
        index = trial.user_attrs["outer_step"]
        if index != "final":  # of which all is compared, if the search is told again
            trial = copy.copy(trial)
            trial.user_attrs = {name: trial.user_attrs[name] for name in ("outer_step", "row")}
            trial.intermediate_values = {}
        self._trials[index] = trial

    def _supersede(self, first: int) -> None:
        """What was kept of this outer step and of all that followed it does not hold any more."""
        old = [k for k in self._trials if k == "final" or k >= first]
        if old:
            self._reopen()
            self.storage.mark([self._trials.pop(k) for k in old], CONSTRAINT_KEY, SUPERSEDED)

    def noted(self, name: str) -> Any:
        return self.storage.read(f"note:{name}")

    def note(self, name: str, value: Any) -> None:
        if self.noted(name) is None:
            self.storage.write(f"note:{name}", value)
            self._alive()

    def pieces(self, names: Iterable[str]) -> Generator[str]:
        if self._queue is None:
            yield from names
            return
        for name in self._queue.pieces(names):
            self.storage.refresh()
            yield name
        self.storage.refresh()

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


def _same(kept: Mapping[str, Any], row: OuterStep) -> bool:
    """Whether an outer step came out as it did before, but for the seconds."""
    return {**kept, "seconds": 0} == {**_as_json(row.to_json()), "seconds": 0}


def _told_again(kept: FrozenTrial, trial: FrozenTrial) -> bool:
    """Whether the end is that of before; earlier releases did not keep what was gained."""
    told = _as_json(trial.user_attrs)
    return kept.value == trial.value and {**told, **kept.user_attrs} == told


def _as_json(content: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(content))
