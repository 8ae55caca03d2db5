"""The number of threads: asked for, or measured among what is free and kept by the study."""

import itertools

import pytest
import torch

import nongreedy as ng
from nongreedy.planning import _threads, fastest_threads, free_cores

from .study_runs import OPTIMIZER, STEPS, search, small_task


class Seen(ng.Callback):
    def __init__(self):
        self.threads = set()

    def on_inner_step(self, step, steps):
        self.threads.add(torch.get_num_threads())


@pytest.fixture(autouse=True)
def _said_and_not_done(monkeypatch):
    """Several threads beside other tests take ten times as long as one."""
    said = [1]
    monkeypatch.setattr(torch, "set_num_threads", lambda count: said.__setitem__(0, count))
    monkeypatch.setattr(torch, "get_num_threads", lambda: said[0])


@pytest.fixture
def problem():
    return ng.Problem.of(small_task(), OPTIMIZER, steps=STEPS)


def test_free_cores_are_those_that_nobody_uses(monkeypatch):
    monkeypatch.setattr(_threads.os, "sched_getaffinity", lambda _: range(8), raising=False)
    monkeypatch.setattr(_threads.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(_threads.time, "sleep", lambda _: None)
    for idle, expected in [(800, 8), (390, 4), (40, 1), (0, 1)]:
        ticks = iter([(0, 0), (idle, 800)])
        monkeypatch.setattr(_threads, "_ticks", lambda ticks=ticks: next(ticks))
        assert free_cores() == expected
    monkeypatch.setattr(_threads, "_ticks", lambda: None)  # a system that does not tell
    assert free_cores() == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert free_cores() == 2


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 1.0, 2: 0.95, 4: 0.93}, 1),
        ({1: 1.0, 2: 0.6, 4: 0.58}, 2),
        ({1: 1.0, 2: 1.1, 4: 0.5}, 4),
    ],
)
def test_more_threads_must_be_clearly_faster(monkeypatch, problem, seconds, expected):
    now = [0.0]

    def clock():  # each second reading of it is the end of a step
        now[0] += seconds[torch.get_num_threads()] / 2
        return now[0]

    monkeypatch.setattr(_threads.time, "perf_counter", clock)
    before = torch.get_num_threads()
    assert fastest_threads(problem, most=4) == expected
    assert torch.get_num_threads() == before


def test_one_free_core_is_not_measured(monkeypatch, problem):
    monkeypatch.setattr(_threads.time, "perf_counter", None)
    assert fastest_threads(problem, most=1) == 1


def test_a_search_has_the_threads_that_it_is_given_and_leaves_none_behind(tmp_path):
    seen, before = Seen(), torch.get_num_threads()
    search(threads=2, callbacks=[seen])
    assert seen.threads == {2} and torch.get_num_threads() == before


def test_what_was_measured_is_kept_by_the_study(monkeypatch, tmp_path):
    counts = itertools.count(2)
    monkeypatch.setattr(
        "nongreedy.search._threads.fastest_threads", lambda problem, seed: next(counts)
    )
    study = ng.Study(tmp_path / "s.db")
    for outer_steps in (2, 3):
        seen = Seen()
        search(study, threads="auto", outer_steps=outer_steps, callbacks=[seen])
        assert seen.threads == {2}
    seen = Seen()
    search(threads="auto", callbacks=[seen])  # without one it is measured anew
    assert seen.threads == {3}


@pytest.mark.parametrize("threads", [0, -1, 1.5, "all", True])
def test_anything_else_is_refused(threads):
    with pytest.raises(
        ValueError, match=r"`threads` must be a whole number of at least 1, 'auto' or None"
    ):
        search(threads=threads)
