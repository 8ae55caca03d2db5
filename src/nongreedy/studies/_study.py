"""A study: a search that survives, under a name in a database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._extras import needed
from ..engines import Problem
from ..errors import NoStudyError, StudyError, check_whole
from ..schedules import Hyperparameter
from ..schedules._files import plain
from ..search import Memory, Result
from ._address import Address

if TYPE_CHECKING:
    from ._kept_settings import Limit
    from ._storage import Storage

_NOTE, _SHARED = "note:", "shared"
_JOINING = 60.0  # seconds to wait for others who join a shared study, one at a time


@dataclass(frozen=True)
class Study:
    r"""Where a search is kept, so that it goes on after a kill: an Optuna study.

    Every run and sweep is a function of schedule and seed. A study keeps their outcomes; a search that
    is started again asks the same questions, has the known ones answered at once, and goes on where it
    was, to the same bits on the same machine. The state of the run or sweep that is going on is written
    to a file every `savepoint_seconds`.

    Each outer step is a trial: parameters are the schedule's coefficients on the finest basis
    (``learning_rate[0]``, ...), the value is the validation loss, intermediate values are the training
    curve, attributes are the row, the schedule, hypergradients and their standard deviation over seeds.
    The winner of the final comparison is one more trial, and the only feasible one, so that
    ``best_params`` are those of the schedule that is returned.

    A search may be extended: with more `outer_steps` or a larger `budget` it uses every answer that is
    kept, and comes to what one search of the larger settings comes to. Trials that it tells otherwise
    are superseded (their constraint is 2), and it has a final trial of its own.

    Args:
        storage: Path of an SQLite file, or a URL (``postgresql://``, ``mysql://``).
        name: Of the study; a storage may hold many.
        folder: For the states of unfinished runs; by default beside the file, else ``.nongreedy``.
        savepoint_seconds: Least time between two of them; longer where writing takes long.
        wait: Seconds to wait for another process that holds the study, before refusing.
        heartbeat: Whole seconds between two signs of life of a process that shares the study; when it misses
            four, its work is given to another.

    Raises:
        StudyError: It cannot be opened, read or written, is held by another process, or was made with
            other settings.
        MissingExtraError: The extra ``study`` is not installed.

    Source: storage by Optuna.

    Cannot: go on to the same bits on another kind of machine; keep the middle of runs by `Reversible`
    or of runs whose states are kept for a sweep, or of sweeps by engines other than `Reverse`,
    `Reversible`, `Forward`, `RandomDirections` and `FiniteDifference`: these begin anew.

    Example:
        >>> Study("runs/study.db").name
        'nongreedy'
    """

    storage: str | os.PathLike[str] = "study.db"
    name: str = "nongreedy"
    folder: str | os.PathLike[str] | None = None
    savepoint_seconds: float = 30.0
    wait: float = 0.0
    heartbeat: int = 10

    def __post_init__(self) -> None:
        _check_installed()
        if not isinstance(self.name, str) or not self.name:
            raise StudyError(f"A study needs a name, but got {self.name!r}.")
        for what in ("savepoint_seconds", "wait"):
            value = getattr(self, what)
            if not value >= 0:
                raise StudyError(f"`{what}` must be 0 or more seconds, but got {value!r}.")
        check_whole("heartbeat", self.heartbeat)
        Address.of(self.storage, self.folder)  # checks them

    @classmethod
    def of(cls, given: str | os.PathLike[str] | Study) -> Study:
        """A study, or the study of this path or URL."""
        return given if isinstance(given, Study) else cls(given)

    @property
    def address(self) -> Address:
        """Where it is."""
        return Address.of(self.storage, self.folder)

    @classmethod
    def names(cls, storage: str | os.PathLike[str]) -> list[str]:
        """The names of all studies that a storage holds, oldest first; none where there is no file."""
        _check_installed()
        from ._storage import names

        address = Address.of(storage, None)
        if address.path is not None and not address.path.exists():
            return []
        return names(address)

    def read(self, record: str) -> Any:
        """One of its records, such as ``"settings"``; None where there is none."""
        with closing(self.open()) as storage:
            return storage.read(record)

    def note(self, name: str, value: Any) -> None:
        """Keep a JSON value under a name, in place of an earlier one; any process may, at any time.

        Infinities and NaN become the words that ``float`` reads.
        """
        with closing(self.open(create=True)) as storage:
            storage.write(_NOTE + name, plain(value))

    def notes(self) -> dict[str, Any]:
        """Name -> value of every note, by their names; none where there is no such study yet."""
        try:
            with closing(self.open()) as storage:
                records = {name: storage.read(name) for name in sorted(storage.names(_NOTE))}
        except NoStudyError:
            return {}
        return {k.removeprefix(_NOTE): value for k, value in records.items() if value is not None}

    def discard_unused(self) -> None:
        """Delete it, where nothing was computed for it."""
        try:
            with closing(self.open()) as storage:
                storage.discard_unused()
        except StudyError:  # there is none, or none that could be opened
            return

    @property
    def finished(self) -> bool:
        """Whether its search came to its end, and was not extended since."""
        return self.read("note:finished") is not None

    def result(self) -> Result:
        """What its search came to, or of one that goes on has come to so far, without running anything.

        What no study keeps is missing: the accuracy in the final comparison, `task`, `optimizer`.

        Raises:
            StudyError: There is no such study, it is of something else than a search, or no outer step
                of it is finished.
        """
        from ._told import readable, told
        from ._trials import current

        with closing(self.open()) as storage, readable(storage):
            return told(storage, current(storage.trials()))

    def open(self, create: bool = False) -> Storage:
        """Its records and trials. Close it when done."""
        from ._storage import Storage

        address = self.address
        if address.path is not None:
            if not create and not address.path.exists():
                raise NoStudyError(f"No study file {address.shown!r}.")
            try:
                address.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StudyError(
                    f"Cannot create the directory of {address.shown!r}: {error.strerror or error}. "
                    "Name a file in a directory that you may write to."
                ) from error
        return Storage(address, self.name, create)

    @contextmanager
    def session(
        self,
        settings: Mapping[str, Any],
        hyperparameters: Mapping[str, Hyperparameter],
        steps: int,
        raised: Mapping[str, Limit] | None = None,
        shared: bool = False,
    ) -> Iterator[Memory]:
        """Hold the study while a search with these settings runs, some of them larger than before; or
        share it with other processes, each of which claims pieces of the work."""
        from ._queue import Queue
        from ._session import Session
        from ._trials import Parameters

        with closing(self.open(create=True)) as storage, ExitStack() as queued:
            queue = None
            if shared or storage.has(_SHARED):
                queue = Queue(self.address, f"{self.name}|queue", self.heartbeat)
                queued.enter_context(closing(queue))
            with self._held(storage, _JOINING if shared else self.wait) as alive:
                storage.refresh()
                if queue is not None and not shared and queue.busy():
                    raise StudyError(
                        f"Study {self.name!r} is shared by processes that work on it now. Join them by "
                        "shared=True, or wait until they have ended."
                    )
                parameters = Parameters(hyperparameters, steps)
                content = storage, settings, parameters, self.savepoint_seconds
                if not shared:
                    yield Session(*content, alive, raised)
                    return
                storage.write(_SHARED, True)
                session = Session(*content, raised=raised, queue=queue)
            yield session

    @contextmanager
    def _held(self, storage: Storage, wait: float) -> Iterator[Callable[[], None] | None]:
        """Nobody else has it meanwhile; with what shows a sign of life to other machines."""
        from ._holder import leased, locked

        with locked(self.address.states(self.name), self.name, wait):
            if self.address.path is not None:
                yield None
                return
            # The lock is of this machine; a server has users on others.
            with leased(storage.holder, storage.hold, self.name, wait) as alive:
                yield alive


def _check_installed() -> None:
    needed("A study", "optuna", "filelock")


def remembering(
    study: str | os.PathLike[str] | Study | Memory | None,
    settings: Mapping[str, Any],
    problem: Problem,
    raised: Mapping[str, Limit] | None = None,
    shared: bool = False,
) -> AbstractContextManager[Memory]:
    """The memory of a search: a study's while it is held or shared, a given one, or none. Of the settings,
    those that are named may be larger than in the study, by what they allow for."""
    if study is None or isinstance(study, Memory):
        if shared:
            raise ValueError("shared=True needs a `study`, by which processes know of each other.")
        return nullcontext(study or Memory())
    return Study.of(study).session(settings, problem.learned, problem.steps, raised, shared)
