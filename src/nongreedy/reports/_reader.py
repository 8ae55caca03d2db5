"""A study, read into a record."""

from __future__ import annotations

import math
import warnings
from typing import Any

from optuna.trial import FrozenTrial
from torch import as_tensor, float64

from ..engines import Hypergradient
from ..errors import DivergedError, StudyError
from ..schedules import Schedule
from ..search import OuterStep, Ran, Status
from ..studies import Study
from ..studies._answers import decoded
from ..studies._storage import Storage
from ._ranking import Place
from ._record import Record, Step, Sweep


def read(study: Study) -> Record:
    """Read a study.

    Raises:
        StudyError: There is none, it is not ours, it cannot be read, or no outer step is finished.
    """
    storage = study.open()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged answers are counted, not computed again
            return _Reader(storage).record()
    finally:
        storage.close()


class _Reader:
    def __init__(self, storage: Storage):
        self.storage, self.lost = storage, 0
        self.where = f"Study {storage.name!r} in {storage.address.shown!r}"

    def record(self) -> Record:
        settings, command = self.storage.read("settings"), self.storage.read("note:command")
        trials = {}
        for trial in self.storage.trials():
            trials.setdefault(trial.user_attrs.get("outer_step"), trial)
        rows = sorted(index for index in trials if isinstance(index, int))
        command, resume = command if isinstance(command, dict) else {}, None
        if command:
            target = str(command.get("target") or "") or None
            resume = self.storage.address.resume_command(self.storage.name, target)
        if not rows or not isinstance(settings, dict):
            again = (
                f"Go on with it first: {resume}"
                if resume
                else ("Go on with it first; of a comparison, name one of its searches.")
            )
            raise StudyError(f"{self.where} has no finished outer step to report. {again}")
        try:
            return self._assembled(settings, command, trials, rows, resume)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StudyError(
                f"{self.where} cannot be read ({type(error).__name__}: {error}): its trials were "
                "changed or are of another release. Name another study."
            ) from error

    def _assembled(
        self, settings: Any, command: Any, trials: Any, rows: list[int], resume: str | None
    ) -> Record:
        if int(settings["steps"]) < 1:
            raise ValueError(f"a run of {settings['steps']!r} steps")
        steps = [self._step(trials[index], int(settings["steps"])) for index in rows]
        engine, status = self.storage.read("note:engine"), self.storage.read("note:finished")
        final, last_cost = trials.get("final"), None
        if final is not None:
            schedule, loss = self._schedule(final), float(final.value)
            last_cost = float(final.user_attrs["cost"]) - steps[-1].row.cost
        else:
            kept = [step for step in steps if step.row.accepted] or steps[:1]
            schedule, loss = kept[-1].schedule, kept[-1].row.validation_loss
        learned = set(steps[0].row.values)
        for given in (schedule, *(step.schedule for step in steps)):
            if lacking := learned - set(given.curves):
                raise ValueError(f"a schedule without {', '.join(sorted(lacking))}")
        return Record(
            self.storage.name, self.storage.address.shown, settings,
            command, engine if isinstance(engine, dict) else {},
            steps, schedule, loss, Status[status] if status is not None else None,
            last_cost, resume, self._judged(), self.lost,
        )  # fmt: skip

    def _judged(self) -> tuple[str, list[Place]] | None:
        rows = self.storage.read("note:judged")
        if not rows:
            return None
        places = [
            Place(str(row["name"]), [*map(float, row["scores"])],
                  float(row["mean"]), float(row["standard_error"]))
            for row in rows
        ]  # fmt: skip
        measure = str(rows[0]["measure"])
        sign = -1 if measure.endswith("accuracy") else 1
        return measure, sorted(places, key=lambda place: sign * place.mean)

    def _step(self, trial: FrozenTrial, horizon: int) -> Step:
        row = dict(trial.user_attrs["row"])
        if row["validation_loss"] is None:
            row["validation_loss"] = math.inf
        cost, first = self._runs(trial)
        schedule, sweeps = self._schedule(trial), self._sweeps(trial, horizon)
        return Step(
            OuterStep(**row), schedule, dict(trial.intermediate_values), sweeps, cost, first
        )

    def _schedule(self, trial: FrozenTrial) -> Schedule:
        return Schedule.from_json(trial.user_attrs["schedule"], source=f"trial {trial.number}")

    def _answer(self, key: str) -> Ran | Hypergradient | DivergedError | None:
        try:
            return decoded(self.storage.read(f"answer:{key}"))
        except ValueError:
            self.lost += 1
            return None

    def _runs(self, trial: FrozenTrial) -> tuple[float, float | None]:
        """What the trial's plain runs cost, and the loss of the first that finished."""
        cost, first = 0.0, None
        for key in trial.user_attrs["runs"]:
            answer = self._answer(key)
            cost += answer.share if isinstance(answer, DivergedError) else 1.0
            if isinstance(answer, Ran) and first is None:
                first = answer.outcome.loss
        return cost, first

    def _sweeps(self, trial: FrozenTrial, horizon: int) -> list[Sweep]:
        sweeps = []
        kept, keys = trial.user_attrs["hypergradients"], trial.user_attrs["sweeps"]
        for given, key in zip(kept, keys, strict=True):
            answer = self._answer(key)
            seed, whole = int(given["seed"]), isinstance(answer, Hypergradient)
            if not isinstance(answer, Hypergradient):  # damaged: what the trial itself says is left
                rest = {n: as_tensor(g, dtype=float64) for n, g in given.items() if n != "seed"}
                answer = Hypergradient(math.nan, None, rest)
            if any(len(per_step) != horizon for per_step in answer.per_step.values()):
                raise ValueError(f"hypergradients of runs of another length than {horizon} steps")
            sweeps.append(Sweep(seed, answer, whole))
        return sweeps
