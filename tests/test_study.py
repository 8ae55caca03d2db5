"""Studies: a search that is ended at any moment goes on to the same bits; its trials are Optuna's."""

import itertools
import multiprocessing
import random
import signal
import sys
import time

import optuna
import pytest
import torch

import nongreedy as ng
from nongreedy.engines import Engine
from nongreedy.search import Memory

from .study_runs import (
    OPTIMIZER,
    Count,
    KillAt,
    Killed,
    in_child,
    kept,
    search,
    small_task,
    told,
)

CASES = {
    "default rule, stored states": {},
    "default rule, checkpoints": {"engine": "reverse:checkpoint"},
    "default rule, forward": {"engine": "forward", "budget": 70.0},
    "default rule, random directions": {"engine": "random_directions", "budget": 70.0},
    "default rule, finite differences": {"engine": "finite_difference", "budget": 70.0},
    "paper's rule": {"outer": "paper"},
    "engine chosen by the planner": {"engine": "auto"},
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What searches come to that nothing disturbs, and what their studies hold then."""
    known = {}

    def find(**settings):
        key = repr(settings)
        if key not in known:
            study = tmp_path_factory.mktemp("undisturbed") / "s.db"
            known[key] = told(search(study, **settings)), kept(study)
        return known[key]

    return find


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_a_study_changes_nothing_and_a_finished_one_is_told_again(
    tmp_path, settings, monkeypatch, undisturbed
):
    first = search(tmp_path / "s.db", **settings)
    assert told(first) == told(search(**settings)) == undisturbed(**settings)[0]
    monkeypatch.setattr(Engine, "rollout", lambda *_, **__: pytest.fail("a run was repeated"))
    again = search(tmp_path / "s.db", **settings)
    assert told(again) == told(first)
    assert again.history == first.history  # the seconds, too


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_killed_at_many_inner_steps_it_ends_with_the_same_bits(tmp_path, settings, undisturbed):
    count = Count()
    search(callbacks=[count], **settings)
    study, taken, kills = ng.Study(tmp_path / "s.db", savepoint_seconds=0.0), Count(), 0
    stride = max(5, count.steps // 5)
    for _ in range(60):
        try:
            result = search(study, callbacks=[KillAt(stride), taken], **settings)
            break
        except Killed:
            kills += 1
    assert kills >= 3
    assert (told(result), kept(study)) == undisturbed(**settings)


# Engine -> inner steps between two kills: fewer than the run, or the sweep with the run that it
# repeats for its states, has in all.
STRIDES = {
    "forward": 5,
    "random_directions": 5,
    "finite_difference": 18,
    "reverse:device": 12,
    "reverse:checkpoint": 12,
}


@pytest.mark.parametrize(("engine", "stride"), STRIDES.items())
def test_savepoints_lead_through_runs_longer_than_the_time_between_two_kills(
    tmp_path, engine, stride
):
    settings = {"engine": engine, "outer_steps": 1, "budget": 30.0}
    ends = {}
    for seconds in (0.0, 1e9):  # at each step, and never
        study = ng.Study(tmp_path / f"{seconds}.db", savepoint_seconds=seconds)
        for _ in range(60):
            before = len(kept(study)) if study.address.path.exists() else -1
            try:
                ends[seconds] = told(search(study, callbacks=[KillAt(stride)], **settings))
                break
            except Killed:
                if seconds and len(kept(study)) == before:
                    break  # what is begun anew each time is never finished
    assert ends == {0.0: told(search(**settings))}


def test_savepoints_spare_what_was_computed(tmp_path):
    """Killed at every 20th step of a search by plain runs of 8, little is computed twice."""
    whole = Count()
    # With a study, too: a question that is asked again is answered, not computed.
    other = ng.Study(tmp_path / "other.db")
    expected = told(search(other, callbacks=[whole], engine="forward", budget=70.0))
    study, taken = ng.Study(tmp_path / "s.db", savepoint_seconds=0.0), Count()
    for _ in range(100):
        try:
            result = search(study, engine="forward", budget=70.0, callbacks=[taken, KillAt(20)])
            break
        except Killed:
            pass
    assert told(result) == expected
    # One inner step is lost with each kill: it is counted, and killed before it is kept.
    assert whole.steps <= taken.steps <= 1.25 * whole.steps


@pytest.mark.skipif(not hasattr(signal, "SIGKILL") or sys.platform != "linux", reason="needs fork")
def test_thirty_sigkills_at_random_instants(tmp_path):
    """Whatever is going on: a forward or reverse sweep, a savepoint, a transaction."""
    study = ng.Study(tmp_path / "s.db", savepoint_seconds=0.0)
    settings = {"outer_steps": 4, "budget": 90.0, "engine": "reverse:checkpoint"}
    started = time.perf_counter()
    expected = told(search(tmp_path / "other.db", **settings))
    length = time.perf_counter() - started
    draw, kills = random.Random(5), 0

    def work():
        (tmp_path / "result").write_text(told(search(study, **settings)))

    for _ in range(30):
        status = in_child(work, seconds=draw.uniform(0.02, 0.12 * length))
        kills += status == signal.SIGKILL
        assert status in (0, signal.SIGKILL)
        if (tmp_path / "result").exists():  # finished: a new study takes the kills that are left
            assert (tmp_path / "result").read_text() == expected
            (tmp_path / "result").unlink()
            study = ng.Study(tmp_path / f"s{kills}.db", savepoint_seconds=0.0)
    assert kills >= 25
    assert in_child(work) == 0
    assert (tmp_path / "result").read_text() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
@pytest.mark.parametrize("name", ["os.fsync", "torch.save"])
def test_killed_within_a_savepoint(tmp_path, monkeypatch, name):
    expected, study = told(search()), ng.Study(tmp_path / "s.db", savepoint_seconds=0.0)
    module, _, function = name.partition(".")
    owner = {"os": __import__("os"), "torch": torch}[module]

    def work(survived):
        count, real = itertools.count(), getattr(owner, function)

        def deadly(*given, **named):
            if next(count) == survived:
                __import__("os").kill(__import__("os").getpid(), signal.SIGKILL)
            return real(*given, **named)

        monkeypatch.setattr(owner, function, deadly)
        search(study)

    for survived in (0, 11):
        assert in_child(lambda survived=survived: work(survived)) == signal.SIGKILL
    assert told(search(study)) == expected


def test_trials_are_outer_steps(tmp_path):
    result = search(tmp_path / "s.db", steps=12, outer_steps=3, budget=60.0, seeds=2)
    study = optuna.load_study(study_name="nongreedy", storage=f"sqlite:///{tmp_path}/s.db")
    *steps, final = study.trials
    assert [t.user_attrs["outer_step"] for t in steps] == [row.index for row in result.history]
    for trial, row in zip(steps, result.history, strict=True):
        assert trial.value == row.validation_loss
        assert trial.user_attrs["row"] == row.to_json()
        values = ng.Schedule.from_json(trial.user_attrs["schedule"])["learning_rate"].tolist()
        assert values == row.values["learning_rate"]
        assert len(trial.intermediate_values) == 12
    swept = [t for t in steps if t.user_attrs["hypergradients"]]
    assert swept, "no outer step differentiated anything"
    assert {"seed", "learning_rate", "momentum"} <= set(swept[0].user_attrs["hypergradients"][0])
    twice = next(t for t in swept if len(t.user_attrs["hypergradients"]) == 2)
    low, high = (h["momentum"][0] for h in twice.user_attrs["hypergradients"])
    assert twice.user_attrs["noise"]["momentum"][0] == pytest.approx(abs(low - high) / 2**0.5)
    assert study.best_trial.number == final.number
    best = {f"learning_rate[{i}]": v for i, v in enumerate(_finest(result.schedule))}
    for name in ("momentum", "weight_decay"):
        best[name] = result.schedule[name].item()
    assert study.best_params == best
    assert study.best_value == result.validation_loss
    assert {tuple(trial.params) for trial in study.trials} == {tuple(best)}


def _finest(schedule):
    return ng.Schedule(schedule.curves).values(3)["learning_rate"].tolist()


def test_settings_that_differ_are_listed(tmp_path):
    search(tmp_path / "s.db")
    with pytest.raises(ng.StudyError) as error:
        search(tmp_path / "s.db", steps=9, outer_steps=5)
    assert "outer_steps: 3 in the study, 5 now; " in str(error.value)
    assert "steps: 8 in the study, 9 now). Use those" in str(error.value)
    with pytest.raises(ng.StudyError, match=r"batch_size: 16 .*data: .*optimizer: .*in the study"):
        ng.tune(small_task(batch_size=8), ng.Adam(), study=tmp_path / "s.db", steps=8)
    other = small_task(validation=small_task().train.source)
    with pytest.raises(ng.StudyError, match=r"data: .*validation_examples: 60 in the study, 96"):
        ng.tune(other, OPTIMIZER, study=tmp_path / "s.db", steps=8)


def test_other_threads_are_said_and_allowed(tmp_path):
    expected = told(search(tmp_path / "s.db"))
    torch.set_num_threads(2)
    try:
        with pytest.warns(UserWarning, match="threads: 1 in the study, 2 now"):
            assert told(search(tmp_path / "s.db")) != ""
    finally:
        torch.set_num_threads(1)
    assert told(search(tmp_path / "s.db")) == expected


def test_ctrl_c_keeps_the_study_open(tmp_path):
    class Interrupt(ng.Callback):
        def on_outer_step(self, row):
            del row
            raise KeyboardInterrupt

    expected = told(search())
    stopped = search(tmp_path / "s.db", callbacks=[Interrupt()])
    assert stopped.status is ng.Status.interrupted
    assert not ng.Study(tmp_path / "s.db").finished
    assert told(search(tmp_path / "s.db")) == expected
    assert ng.Study(tmp_path / "s.db").finished


def test_several_studies_share_a_file(tmp_path):
    names = ["one", "two ../../etc", ".."]
    results = [search(ng.Study(tmp_path / "s.db", name), seed=k) for k, name in enumerate(names)]
    assert ng.Study.names(tmp_path / "s.db") == names
    assert len({told(result) for result in results}) == 3
    assert {p.name for p in tmp_path.iterdir()} == {"s.db", "s.db-savepoints"}


def test_notes_are_kept_under_names_and_reading_leaves_no_trace(tmp_path):
    study = ng.Study(tmp_path / "deep" / "s.db")
    assert study.notes() == {} and list(tmp_path.iterdir()) == []
    long = {"values": [1 / 3] * 10_000, "worst": float("inf")}
    for name, value in {"b": 1, "a|0": long, "b ": [True, None]}.items():
        study.note(name, value)
    study.note("b", 3)
    assert study.notes() == {"a|0": {**long, "worst": "inf"}, "b": 3, "b ": [True, None]}
    assert ng.Study(tmp_path / "deep" / "s.db", "other").notes() == {}
    assert ng.Study.names(study.storage) == ["nongreedy"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
def test_processes_may_make_a_study_at_the_same_moment(tmp_path):
    fork, study = multiprocessing.get_context("fork"), ng.Study(tmp_path / "s.db")
    together = fork.Barrier(4)

    def work(number):
        together.wait(60)
        study.note(str(number), number)

    workers = [fork.Process(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert study.notes() == {str(number): number for number in range(4)}


def test_a_part_has_answers_and_notes_of_its_own_and_refuses_other_settings(tmp_path):
    study = ng.Study(tmp_path / "s.db")
    for before in (None, 0.5):
        with study.session({"what": "whole"}, {}, 8) as whole:
            part = whole.part("one", {"what": "part"})
            assert part.noted("loss") == before and whole.noted("loss") is None
            part.note("loss", 0.5)
            part.note("loss", 0.7)  # once and for all
            with pytest.raises(
                ng.StudyError, match=r"'nongreedy\|one' .*what: 'part' in the study"
            ):
                whole.part("one", {"what": "another"})
    assert ng.Study.names(study.storage) == ["nongreedy", "nongreedy|one"]
    assert ng.Study(study.storage, "nongreedy|one").notes() == {"loss": 0.5}
    nothing = Memory().part("one", {})
    nothing.note("loss", 0.5)
    assert nothing.noted("loss") is None
