"""Studies that are extended: more outer steps or a larger budget, and nothing is paid twice."""

import math

import optuna
import pytest

import nongreedy as ng
from nongreedy.engines import Engine
from nongreedy.search._settings import LIMITS

from .study_runs import Count, KillAt, Killed, kept, search, told

# Rule -> settings of the shorter search, and what is raised.
RAISED = {
    "model, outer steps": ({"outer_steps": 2, "budget": None}, {"outer_steps": 4}),
    "model, budget": ({"outer_steps": 9, "budget": 24.0}, {"budget": 60.0}),
    "model, no budget any more": ({"outer_steps": 3, "budget": 24.0}, {"budget": None}),
    "agreement, outer steps": (
        {"outer": "agreement", "outer_steps": 2}, {"outer_steps": 4, "budget": 60.0}),
    "agreement, budget": (
        {"outer": "agreement", "outer_steps": 9, "budget": 20.0}, {"budget": 60.0}),
    "paper, outer steps": ({"outer": "paper", "outer_steps": 2}, {"outer_steps": 5}),
    "paper, budget": ({"outer": "paper", "outer_steps": 9, "budget": 16.0}, {"budget": 40.0}),
}  # fmt: skip


def trials_of(path):
    return optuna.load_study(study_name="nongreedy", storage=f"sqlite:///{path}")


def holding(study):
    """Outer steps of the trials that are not superseded, in their order."""
    alive = [t for t in study.trials if max(t.constraints.values()) < 2]
    return [t.user_attrs["outer_step"] for t in alive]


@pytest.mark.parametrize(("before", "more"), RAISED.values(), ids=RAISED)
def test_an_extended_search_is_the_longer_search_from_the_beginning(tmp_path, before, more):
    at_once, place = Count(), tmp_path / "s.db"
    whole = search(tmp_path / "whole.db", callbacks=[at_once], **{**before, **more})
    short = search(place, **before)
    answers = kept(place)
    assert ng.Study(place).finished
    taken = Count()
    longer = search(place, callbacks=[taken], **{**before, **more})
    assert told(longer) == told(whole)
    assert longer.cost > short.cost and told(longer) != told(short)
    # Nothing is computed twice: all that was added is what the whole search asks for besides.
    assert kept(place) == {**answers, **kept(tmp_path / "whole.db")}
    assert len(answers) < len(kept(place)) and taken.steps < at_once.steps
    assert ng.Study(place).finished
    study = trials_of(place)
    assert sorted(map(str, holding(study))) == sorted(
        [*(str(row.index) for row in longer.history), "final"]
    )
    for trial in study.trials:
        if max(trial.constraints.values()) == 1:
            row = longer.history[trial.user_attrs["outer_step"]]
            assert trial.user_attrs["row"] == row.to_json() and trial.value == row.validation_loss
    best = study.best_trial
    assert best.user_attrs["outer_step"] == "final" and study.best_value == longer.validation_loss
    assert best.user_attrs["cost"] == longer.cost
    # A third call tells it again, and adds nothing.
    count = len(study.trials)
    assert told(search(place, **{**before, **more})) == told(longer)
    assert len(trials_of(place).trials) == count


def test_the_winner_of_the_shorter_search_stands_until_the_longer_one_ends(tmp_path):
    place = tmp_path / "s.db"
    short = search(place, outer="paper", outer_steps=2)
    with pytest.raises(Killed):
        search(place, outer="paper", outer_steps=6, callbacks=[KillAt(10)])
    assert not ng.Study(place).finished
    assert trials_of(place).best_value == short.validation_loss
    with pytest.raises(ng.StudyError, match=r"outer_steps: 6 in the study, 2 now.*not cut short"):
        search(place, outer="paper", outer_steps=2)
    whole = told(search(outer="paper", outer_steps=6))
    assert told(search(place, outer="paper", outer_steps=6)) == whole


def test_a_row_that_another_budget_decides_otherwise_supersedes_what_followed(tmp_path):
    """The default rule brackets with a share of the budget: its very first row differs."""
    place, small, large = tmp_path / "s.db", {"outer_steps": 3, "budget": 26.0}, {"budget": 90.0}
    first = search(place, **small)
    longer = search(place, **{**small, **large})
    assert first.history[0].cost != longer.history[0].cost, "the case says nothing any more"
    study = trials_of(place)
    gone = [t.user_attrs["outer_step"] for t in study.trials if max(t.constraints.values()) == 2]
    assert gone == [*range(len(first.history)), "final"]
    assert holding(study) == [*range(len(longer.history)), "final"]
    page = ng.report(ng.Study(place), tmp_path / "report")
    assert f"{longer.cost:.1f} plain runs" in page.read_text("utf-8")


@pytest.mark.parametrize(
    "less", [{"outer_steps": 2}, {"budget": 30.0}, {"outer_steps": 5, "budget": 30.0}]
)
def test_less_than_before_is_refused(tmp_path, less, monkeypatch):
    place = tmp_path / "s.db"
    search(place)
    monkeypatch.setattr(Engine, "rollout", lambda *_, **__: pytest.fail("something was run"))
    with pytest.raises(ng.StudyError, match=r"in the study, .* now") as error:
        search(place, **less)
    assert "not cut short: use those" in str(error.value)
    assert ng.Study(place).finished and ng.Study(place).read("settings")["outer_steps"] == 3
    search(place)  # it is as it was


def test_a_search_that_ended_by_its_time_goes_on(tmp_path, monkeypatch):
    place, clock = tmp_path / "s.db", [0.0]
    monkeypatch.setattr("nongreedy.search._budget.time.monotonic", lambda: clock[0])

    class Slow(ng.Callback):
        def on_outer_step(self, row):
            clock[0] += 100.0

    short = search(place, outer="paper", outer_steps=5, timeout=150.0, callbacks=[Slow()])
    assert len(short.history) == 2 and ng.Study(place).finished
    clock[0] = 0.0
    longer = search(place, outer="paper", outer_steps=5)
    assert told(longer) == told(search(outer="paper", outer_steps=5))
    assert trials_of(place).best_value == longer.validation_loss
    assert not math.isnan(longer.cost) and ng.Study(place).finished


FREE = {"outer": "paper", "outer_steps": None, "budget": None}


@pytest.mark.parametrize(
    ("limit", "steps"), [({}, 10), ({"budget": 80.0}, 11), ({"timeout": 1e4}, 11)]
)
def test_ten_outer_steps_are_the_limit_only_where_there_is_no_other(limit, steps):
    seen = []

    class Begun(ng.Callback):
        def on_begin(self, outlook):
            seen.append(outlook.step(3))

    result = search(**{**FREE, **limit}, callbacks=[Begun()])
    assert len(result.history) == steps
    assert seen == ["outer step 3" if limit else "outer step 3 of 10"]


def test_a_call_without_the_timeout_of_before_cuts_nothing_off(tmp_path):
    place = tmp_path / "s.db"
    long = search(place, **FREE, timeout=1e4)
    assert len(long.history) == 11  # where this rule ends by itself
    assert told(search(place, **FREE)) == told(long)
    more = search(place, **{**FREE, "outer_steps": 12})
    assert more.cost == long.cost


def test_no_outer_steps_are_ten_beside_a_number():
    asked = [(None, None), (None, 24.0), (12, None), (3, 24.0)]
    settings = [{"outer_steps": steps, "budget": budget} for steps, budget in asked]
    assert [LIMITS["outer_steps"](row) for row in settings] == [10, math.inf, 12, 3]
    assert [LIMITS["budget"](row) for row in settings] == [math.inf, 24.0, math.inf, 24.0]


def test_a_comparison_is_not_extended(tmp_path):
    """Its pieces are judged at one budget: only searches may have a larger one."""
    with ng.Study(tmp_path / "s.db").session({"budget": 12.0}, {}, 8):
        pass
    with (
        pytest.raises(ng.StudyError, match=r"budget: 12\.0 in the study, 13\.0 now"),
        ng.Study(tmp_path / "s.db").session({"budget": 13.0}, {}, 8),
    ):
        pass
