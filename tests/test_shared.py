"""Many processes on one storage: each piece of work is claimed once, and that of a dead one is taken over."""

import collections
import contextlib
import random
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

import nongreedy as ng
from nongreedy.studies._address import Address
from nongreedy.studies._queue import Queue

from .shared_work import HEARTBEAT, compared

ROOT = Path(__file__).parents[1]


def crowd(kind, where, folder, workers, count, kills, environment):
    """Let so many processes work, and kill some on the way; everything that any of them began."""
    env = {**environment, "PYTHONPATH": f"{environment['PYTHONPATH']}:{ROOT}"}
    logs = [folder / f"worker-{k}" for k in range(workers)]
    command = [sys.executable, "-W", "ignore", ROOT / "tests" / "shared_work.py", kind, where]
    with contextlib.ExitStack() as stack:
        alive = list[subprocess.Popen]()
        for log in logs:
            process = subprocess.Popen([*command, log, str(count)], env=env, stderr=subprocess.PIPE)
            alive.append(stack.enter_context(process))
            stack.callback(process.kill)
        draw, deadline = random.Random(0), time.monotonic() + 240
        for victim in range(kills):
            while not logs[victim].exists() or logs[victim].read_text().count("\n") < 2 + victim:
                assert time.monotonic() < deadline and alive[victim].poll() is None
                time.sleep(0.02)
            time.sleep(draw.uniform(0, 0.3))
            alive[victim].kill()
        for process in alive[kills:]:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors.decode()
    return [line for log in logs if log.exists() for line in log.read_text().splitlines()]


def bare(comparison):
    pieces = sorted(comparison.pieces, key=lambda piece: piece.key)
    return [{**piece.to_json(), "seconds": 0, "settings": 0} for piece in pieces]


@contextlib.contextmanager
def optuna_storage(url):
    storage = optuna.storages.RDBStorage(url)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


@pytest.mark.parametrize(
    ("database", "workers", "count", "kills"), [("sqlite", 2, 6, 1), ("postgresql", 4, 40, 2)]
)
def test_searches_of_a_comparison_are_claimed_once_and_a_dead_worker_s_are_taken_over(
    database, workers, count, kills, tmp_path, environment, request
):
    where = (
        str(tmp_path / "c.db") if database == "sqlite" else request.getfixturevalue("database_url")
    )
    began = collections.Counter(
        crowd("compare", where, tmp_path, workers, count, kills, environment)
    )
    assert len(began) == count
    assert sum(began.values()) <= count + kills and max(began.values()) <= 2
    together = ng.Comparison.load(ng.Study(where, folder=tmp_path / "states"))
    assert bare(together) == bare(compared(None, count // 2))


def test_trials_of_an_objective_are_claimed_once_and_those_of_the_dead_run_again(
    database_url, tmp_path, environment
):
    with optuna_storage(database_url):
        pass  # makes the tables, which two cannot at once
    began = crowd("optuna", database_url, tmp_path, 3, 30, 1, environment)
    # The others may have ended before anyone could miss the dead one: somebody comes later.
    (late := tmp_path / "late").mkdir()
    time.sleep(2 * HEARTBEAT + 1)
    began += crowd("optuna", database_url, late, 1, 30, 0, environment)
    assert len(began) == len(set(began)) >= 30
    with optuna_storage(database_url) as storage:
        trials = optuna.load_study(study_name="trials", storage=storage).get_trials()
    by_state = collections.Counter(trial.state.name for trial in trials)
    assert by_state.pop("COMPLETE") in range(30, 34) and set(by_state) <= {"FAIL"}
    retried = [t.system_attrs["failed_trial"] for t in trials if "failed_trial" in t.system_attrs]
    assert sorted(retried) == [t.number for t in trials if t.state.name == "FAIL"]
    assert len(retried) <= 1


def queue(path):
    return contextlib.closing(Queue(Address.of(path, None), "nongreedy|queue", 1))


def test_who_holds_a_comparison_alone_and_who_shares_it_exclude_each_other(tmp_path):
    study = ng.Study(tmp_path / "c.db", heartbeat=1)
    compared(study, 1, shared=True)
    with queue(study.storage) as held:
        pieces = held.pieces(["a piece of work"])
        assert next(pieces) == "a piece of work"
        with pytest.raises(ng.StudyError, match="is shared by processes that work on it now"):
            compared(study, 1)
        pieces.close()  # given back
        assert not held.busy()
    assert len(compared(study, 1).pieces) == 2
    with pytest.raises(ValueError, match="needs a `study`"):
        compared(None, 1, shared=True)


def test_a_piece_that_failed_waits_for_another_process_and_is_done_once(tmp_path):
    with queue(tmp_path / "q.db") as first, queue(tmp_path / "q.db") as second:
        pieces = first.pieces("ab")
        assert next(pieces) == "a"
        with pytest.raises(ZeroDivisionError):
            pieces.throw(ZeroDivisionError)
        assert sorted(second.pieces("ab")) == ["a", "b"]
        assert list(first.pieces("ab")) == []
        assert list(first.pieces("abc")) == ["c"]  # what joins later


def test_of_two_trials_of_a_piece_the_older_counts(tmp_path):
    with queue(tmp_path / "q.db") as first:
        for _ in range(2):  # as two processes that queue it at the same moment
            first._study.add_trial(
                optuna.create_trial(
                    state=optuna.trial.TrialState.WAITING, user_attrs={"piece": "a"}
                )
            )
        assert list(first.pieces("a")) == ["a"]
        states = [trial.state.name for trial in first._study.get_trials()]
        assert states == ["COMPLETE", "PRUNED"]


@pytest.mark.parametrize("heartbeat", [0, 1.5, True])
def test_a_heartbeat_is_whole_seconds(heartbeat):
    with pytest.raises(ValueError, match="`heartbeat` must be a whole number of at least 1"):
        ng.Study("x.db", heartbeat=heartbeat)
