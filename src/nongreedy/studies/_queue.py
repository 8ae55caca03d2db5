"""Work that many processes share: each piece is claimed by one, and that of a dead one is given on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

import optuna
from filelock import FileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from ._address import Address
from ._quiet import quiet
from ._storage import explained

_PIECE = "piece"
_SILENT = 4  # signs of life that a process may miss
_LOOK = 0.5  # seconds between two looks at what the others do
_OPEN = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)


class Queue:
    """Pieces of work as trials of a study: waiting, running with a heartbeat, complete.

    Optuna claims a trial for one process alone, and finds those whose heart has stopped. Two processes
    that queue the same piece at the same moment leave two trials, of which the older one counts.

    Args:
        address: The database.
        name: Of the study.
        heartbeat: Seconds between two signs of life.
    """

    def __init__(self, address: Address, name: str, heartbeat: int):
        self._address, self._heartbeat = address, heartbeat
        with explained("open", address), quiet():
            self._storage = optuna.storages.RDBStorage(
                address.url,
                heartbeat_interval=heartbeat,
                grace_period=_SILENT * heartbeat,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
            )
            self._study = optuna.create_study(
                study_name=name, storage=self._storage, load_if_exists=True
            )

    def pieces(self, names: Iterable[str]) -> Iterator[str]:
        """Those that this process has claimed, one at a time, until none is left: not with another
        process either. What is done when the next is asked for is done for all."""
        names = list(names)
        with explained("write to", self._address):
            while True:
                with self._alone():
                    trial = self._claim(names)
                if trial is not None:
                    with self._alive(trial):
                        yield trial.user_attrs[_PIECE]
                elif any(each.state == TrialState.RUNNING for each in self._trials(names)):
                    time.sleep(_LOOK)
                else:
                    return

    def busy(self) -> bool:
        """Whether a living process works on a piece."""
        with explained("read", self._address), quiet():
            optuna.storages.fail_stale_trials(self._study)
            return any(
                t.state == TrialState.RUNNING for t in self._study.get_trials(deepcopy=False)
            )

    def close(self) -> None:
        """Let go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _alone(self) -> AbstractContextManager[object]:
        """Servers claim a row for one process by themselves; of a file two could read that it waits."""
        path = self._address.path
        return nullcontext() if path is None else FileLock(f"{path}-queue.lock")

    def _trials(self, names: Iterable[str]) -> list[FrozenTrial]:
        wanted = set(names)
        every = self._study.get_trials(deepcopy=False)
        return [trial for trial in every if trial.user_attrs.get(_PIECE) in wanted]

    def _claim(self, names: list[str]) -> FrozenTrial | None:
        """A piece that waited and is now this process's; None if none waits."""
        with quiet():
            optuna.storages.fail_stale_trials(self._study)
        known = {t.user_attrs[_PIECE] for t in self._trials(names) if t.state in _OPEN}
        for name in names:
            if name not in known:
                self._study.add_trial(_waiting(name))
        for trial in self._trials(names):
            if trial.state != TrialState.WAITING:
                continue
            self._storage.record_heartbeat(trial._trial_id)  # before anyone can miss it
            if self._ends(trial, TrialState.RUNNING):
                if not self._twin(trial, names):
                    return trial
                self._ends(trial, TrialState.PRUNED)
        return None

    def _twin(self, trial: FrozenTrial, names: list[str]) -> bool:
        """Whether an older trial is of the same piece."""
        same = [t for t in self._trials(names) if t.user_attrs[_PIECE] == trial.user_attrs[_PIECE]]
        return any(other.number < trial.number and other.state in _OPEN for other in same)

    @contextmanager
    def _alive(self, trial: FrozenTrial) -> Iterator[None]:
        """Signs of life while the piece is worked on. Where that fails, it waits for another process."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self._heartbeat):
                with suppress(Exception):  # a busy database; the next one may be heard
                    self._storage.record_heartbeat(trial._trial_id)

        thread = threading.Thread(target=beat, name="nongreedy-heartbeat", daemon=True)
        thread.start()
        done = False
        try:
            yield
            done = True
        finally:
            over.set()
            thread.join()
            if not done and self._ends(trial, TrialState.FAIL):
                self._study.add_trial(_waiting(trial.user_attrs[_PIECE]))
            elif done:
                self._ends(trial, TrialState.COMPLETE, [0.0])

    def _ends(
        self, trial: FrozenTrial, state: TrialState, values: list[float] | None = None
    ) -> bool:
        """Whether the trial is in this state now; not where it was given on in the meantime."""
        try:
            return self._storage.set_trial_state_values(trial._trial_id, state, values)
        except UpdateFinishedTrialError:
            return False


def _waiting(name: str) -> FrozenTrial:
    return optuna.create_trial(state=TrialState.WAITING, user_attrs={_PIECE: name})
