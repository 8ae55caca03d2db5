"""A study, read into a record."""

import math
import warnings
from typing import Any

from optuna.trial import FrozenTrial
from torch import as_tensor, float64

from ..engines import Hypergradient
from ..errors import DivergedError
from ..search import OuterStep, Ran, Result
from ..studies import Study
from ..studies._answers import decoded
from ..studies._storage import Storage
from ..studies._told import readable, schedule_of, told
from ..studies._trials import current
from ._ranking import Place
from ._record import Record, Step


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
        self.settings = storage.read("settings")
        self.command, self.engine = self._note("command"), self._note("engine")
        self.trials: dict[Any, Any] = current(storage.trials())

    def record(self) -> Record:
        resume, again = None, "; of a comparison, name one of its searches."
        if self.command:
            said = self.command.get("target"), self.command.get("out")
            resume = self.storage.address.resume_command(self.storage.name, *said)
            again = f": {resume}"
        with readable(self.storage):
            return self._assembled(told(self.storage, self.trials, again), resume)

    def _note(self, name: str) -> dict[str, Any]:
        content = self.storage.read(f"note:{name}")
        return content if isinstance(content, dict) else {}

    def _assembled(self, result: Result, resume: str | None) -> Record:
        horizon = int(self.settings["steps"])
        if horizon < 1:
            raise ValueError(f"a run of {self.settings['steps']!r} steps")
        steps = [self._step(self.trials[row.index], horizon) for row in result.history]
        finished = result.status if self.storage.read("note:finished") else None
        if finished and "final" not in self.trials:
            finished = None
        learned = set(steps[0].row.values)
        for written in (result.schedule, *(step.schedule for step in steps)):
            if lacking := learned - set(written.curves):
                raise ValueError(f"a schedule without {', '.join(sorted(lacking))}")
        return Record(
            self.storage.name, self.storage.address.shown, self.settings, self.command, self.engine,
            steps, result.schedule, result.validation_loss, finished,
            result.cost - steps[-1].row.cost if finished else None, resume, self._judged(), self.lost,
            result.gain, self._begun(), self._note("trained"),
        )  # fmt: skip

    def _begun(self) -> str:
        """The day on which the first outer step began, as in 2026-11-28; nothing where no trial says."""
        starts = [trial.datetime_start for trial in self.trials.values() if trial.datetime_start]
        return f"{min(starts):%Y-%m-%d}" if starts else ""

    def _judged(self) -> tuple[str, list[Place]] | None:
        rows = self.storage.read("note:judged")
        if not rows:
            return None
        places = [
            Place(str(row["name"]), [*map(float, row["scores"])],
                  float(row["mean"]), float(row["standard_error"]), [*map(float, row.get("rmse", ()))])
            for row in rows
        ]  # fmt: skip
        measure = str(rows[0]["measure"])
        sign = -1 if measure.endswith("accuracy") else 1
        return measure, sorted(places, key=lambda place: sign * place.mean)

    def _step(self, trial: FrozenTrial, horizon: int) -> Step:
        row = OuterStep.from_json(trial.user_attrs["row"])
        runs = [self._answer(key) for key in trial.user_attrs["runs"]]
        cost = sum(run.share if isinstance(run, DivergedError) else 1.0 for run in runs)
        losses = (run.outcome.loss for run in runs if isinstance(run, Ran))
        of_trial = trial.user_attrs["hypergradients"]
        return Step(
            row, schedule_of(trial), dict(trial.intermediate_values),
            [int(gradients["seed"]) for gradients in of_trial],
            [self._hypergradient(key, gradients, horizon)
             for key, gradients in zip(trial.user_attrs["sweeps"], of_trial, strict=True)],
            cost, next(losses, None),
        )  # fmt: skip

    def _answer(self, key: str) -> Ran | Hypergradient | DivergedError | None:
        try:
            return decoded(self.storage.read(f"answer:{key}"))
        except ValueError:
            self.lost += 1
            return None

    def _hypergradient(self, key: str, of_trial: Any, horizon: int) -> Hypergradient:
        answer = self._answer(key)
        if not isinstance(answer, Hypergradient):  # damaged: what the trial itself says is left
            rest = {n: as_tensor(g, dtype=float64) for n, g in of_trial.items() if n != "seed"}
            return Hypergradient(math.nan, None, rest)
        if any(len(per_step) != horizon for per_step in answer.per_step.values()):
            raise ValueError(f"hypergradients of runs of another length than {horizon} steps")
        return answer
