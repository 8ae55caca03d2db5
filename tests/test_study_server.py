"""Studies on a database server: one that is started here, or that of the URL in
NONGREEDY_TEST_DATABASE, such as postgresql://user:password@localhost/name."""

import os
import sys
import uuid

import optuna
import pytest

import nongreedy as ng

from .study_runs import KillAt, Killed, in_child, search, told


@pytest.fixture
def url(database_url):
    return database_url


@pytest.fixture
def server(url):
    storage = optuna.storages.RDBStorage(url)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


@pytest.fixture
def study(tmp_path, url, server):
    name = f"test-{uuid.uuid4()}"
    yield ng.Study(url, name, folder=tmp_path, savepoint_seconds=0.0)
    optuna.delete_study(study_name=name, storage=server)


def test_killed_it_ends_with_the_same_bits(study, server):
    kills = 0
    for _ in range(60):
        try:
            result = search(study, callbacks=[KillAt(40)])
            break
        except Killed:
            kills += 1
    assert kills >= 3
    assert told(result) == told(search())
    kept = optuna.load_study(study_name=study.name, storage=server)
    assert kept.best_params["momentum"] == result.schedule["momentum"].item()


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
def test_another_process_is_refused_by_name(study, url, tmp_path):
    class Meanwhile(ng.Callback):
        """While the search runs, another begins that shares nothing with it but the server."""

        def on_outer_step(self, row):
            del row
            elsewhere = ng.Study(url, study.name, folder=tmp_path / "elsewhere")
            assert in_child(lambda: refused(elsewhere)) == 0

    def refused(elsewhere):
        with pytest.raises(ng.StudyError, match=f"held by process {me} on "):
            search(elsewhere)

    me = os.getpid()
    search(study, callbacks=[Meanwhile()])
