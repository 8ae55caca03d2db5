"""A report says what its study holds, in one safe page."""

import html
import json
import re
import shutil
import sqlite3

import numpy as np
import optuna
import pytest
import torch
from plotly import graph_objects

import nongreedy as ng
from nongreedy.reports import report
from nongreedy.reports._cost import Cost
from nongreedy.reports._markup import json_for_script
from nongreedy.reports._reader import read
from nongreedy.reports._trust import coefficients
from nongreedy.reports._use import code
from nongreedy.schedules._drawing._chart import Axis
from nongreedy.schedules._drawing._series import POINTS, band, blocks, over_run
from nongreedy.search._words import number

from .study_runs import OPTIMIZER, STEPS, KillAt, Killed, search, small_task
from .test_cli import run

HOSTILE = "<script>alert(1)</script>"
# The second step is so long that its run diverges.
WILD = ng.SGD(ng.Windows(2, initial=1e-3, outer_step=1e25), ng.Windows(1), 0.0)


def unfinished(study):
    """A search that was killed within its second outer step."""
    with pytest.raises(Killed):
        search(study, outer="paper", callbacks=[KillAt(2 * STEPS + 3)])


def rejected(study):
    """A search by the paper's rule with a step that diverges."""
    settings = {"outer": "paper", "steps": STEPS, "outer_steps": 4, "study": study}
    return ng.tune(small_task(), WILD, **settings)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study, its result and its page."""
    study = ng.Study(tmp_path_factory.mktemp("finished") / "study.db", "finished")
    result = search(study)
    return study, result, page_of(study)


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished study, and its database to change."""
    shutil.copy(finished[0].storage, tmp_path / "study.db")
    with sqlite3.connect(tmp_path / "study.db") as database:
        yield ng.Study(tmp_path / "study.db", "finished"), database


def page_of(study):
    """What a report's file says."""
    return report(study).read_text("utf-8")


def figures(page):
    """What the page's script is given."""
    content = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.S)
    return json.loads(content[1])


def shown(page):
    """The words of a page: its elements and its data left out."""
    body = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.S)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def test_headline_says_what_was_gained_on_which_seeds(finished):
    _, result, page = finished
    gain, words = result.gain, shown(page)
    assert gain is not None and gain.seeds and gain.verdict in words
    head = f"{number(gain.fallback, 3)} → {number(result.validation_loss, 3)}"
    assert head in words and f"start → returned, on {gain.seeds} common fresh seed" in words


def test_headline_says_what_was_tuned_and_what_it_came_to(finished):
    _, result, page = finished
    words = shown(page)
    assert "Tuned: learning rate (" in words
    assert result.status.value in words
    assert f"{result.cost:.1f} plain runs" in words
    assert f"→ {result.validation_loss:.3g} " in words
    assert f"{len(result.history)} of 3" in words
    assert "Unfinished" not in words


def first_of(record):
    """The schedule of the first outer step."""
    values = {n: torch.tensor(v).double() for n, v in record.steps[0].row.values.items()}
    return ng.Schedule.initial(OPTIMIZER.hyperparameters(STEPS)).with_coefficients(values)


def test_the_first_loss_is_that_of_the_first_schedule(finished):
    study, _, _ = finished
    loss, of_first = read(study).start
    first = first_of(read(study))

    # One seed looks for the scale; its run is the first of the search.
    seed = read(study).steps[0].seeds[0]
    run_ = ng.Run(small_task(), OPTIMIZER, STEPS, seed)
    assert of_first
    assert loss == ng.Reverse().rollout(run_, first).outcome.loss


def test_costs_add_up_to_what_the_search_counted(finished):
    study, result, _ = finished
    record = read(study)
    costs = Cost.of(record)
    assert sum(value for _, value in costs.table()) == pytest.approx(result.cost)
    assert record.cost == pytest.approx(result.cost)
    assert sum(costs.runs) + sum(costs.hypergradients) == pytest.approx(result.history[-1].cost)
    # Reverse sweeps cost three plain runs each.
    swept = sum(len(step.hypergradients) for step in record.steps)
    assert sum(costs.hypergradients) == pytest.approx(3 * swept)


def test_hypergradients_are_those_of_the_engine(finished):
    study, _, page = finished
    record = read(study)
    first = first_of(read(study))
    engine = ng.Reverse()
    run_ = ng.Run(small_task(), OPTIMIZER, STEPS, record.steps[0].seeds[0])
    found = engine.differentiate(engine.rollout(run_, first, keep=True), record.learned)
    kept = record.steps[0].hypergradients[0].per_step["learning_rate"]
    np.testing.assert_allclose(kept, found.per_step["learning_rate"])
    drawn = figures(page)["figures"]
    assert {f"hypergradient-{place}" for place in range(3)} <= drawn.keys()
    for figure in drawn.values():  # Plotly knows every property and accepts every value
        graph_objects.Figure(data=figure["data"], layout=figure["layout"])


def test_the_pasted_code_gives_the_returned_schedule(finished):
    study, result, page = finished
    pasted = html.unescape(re.search(r"<pre><code>(.*?)</code></pre>", page, re.S)[1])
    assert pasted == code(read(study))
    given = {"optimizer": torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0, 0.9)}
    exec(pasted, given)
    for name, values in result.schedule.values(STEPS).items():
        assert given["schedule"].values(STEPS)[name].tolist() == values.tolist()


def test_an_unfinished_study_says_how_to_go_on(tmp_path):
    study = ng.Study(tmp_path / "study.db")
    unfinished(study)
    page = page_of(study)
    assert "Unfinished." in shown(page)
    assert "ng.tune(..., study=...)" in shown(page)
    storage = study.open()
    storage.write("note:command", {"target": "my task.py:task"})
    storage.close()
    again = f"nongreedy resume {tmp_path}/study.db 'my task.py:task' --name nongreedy"
    assert read(study).resume == again
    assert len(read(study).steps) == 1


def test_a_diverged_step_is_named_and_marked(tmp_path):
    result = rejected(ng.Study(tmp_path / "study.db"))
    assert not all(row.accepted for row in result.history)
    page = page_of(ng.Study(tmp_path / "study.db"))
    names = [trace.get("name") for trace in figures(page)["figures"]["losses"]["data"]]
    assert "diverged" in names
    assert "diverged" in shown(page)


def test_names_and_texts_cannot_become_code(copied):
    study, database = copied
    study = ng.Study(study.storage, HOSTILE)
    database.execute("update studies set study_name = ?", [HOSTILE])
    database.execute(
        "update trial_user_attributes set value_json = json_set(value_json, '$.note', ?) "
        "where key = 'row'",
        [f"</script>{HOSTILE}<!--"],
    )
    database.commit()
    storage = study.open()
    storage.write("note:command", {"target": f"</pre>{HOSTILE}", "out": "</script>"})
    storage.close()
    page = page_of(study)
    assert page.count("<script") == page.count("</script>") == 4  # ours, and none in the data
    assert "alert(1)</script" not in page
    assert "alert(1)" in shown(page)
    assert figures(page)["figures"]["losses"]


def test_json_for_a_script_ends_no_element():
    given = {"a": "</script><!--&", "b": np.arange(2.0), "c": float("nan")}
    written = json_for_script(given)
    assert not set("<>&") & set(written)
    assert json.loads(written)["a"] == given["a"]


def test_where_answers_are_lost_the_trials_still_speak(copied, finished):
    (study, database), (_, result, _) = copied, finished
    database.execute("delete from study_system_attributes where key like 'nongreedy:answer:%'")
    database.commit()
    record = read(study)
    assert record.start == (result.history[0].validation_loss, False)
    words = shown(page_of(study))
    assert f"{record.lost} kept answers" in words and record.lost > 3
    assert "keeps no derivatives step by step" in words
    assert any(h.gradients for step in record.steps for h in step.hypergradients[:1])


JUDGED = [
    {"name": "the schedule found", "measure": "test_loss", "scores": [0.25, 0.75], "diverged": 0,
     "mean": 0.5, "standard_error": 0.25},
    {"name": HOSTILE, "measure": "test_loss", "scores": [0.125, "inf"], "diverged": 1,
     "mean": "inf", "standard_error": "nan"},
]  # fmt: skip


def judge(study):
    """As `nongreedy tune` does at its end."""
    storage = study.open()
    storage.write("note:judged", JUDGED)
    storage.close()


def test_fresh_trainings_are_shown_where_the_command_line_made_them(copied, finished):
    assert "Fresh trainings" not in shown(finished[2])
    judge(copied[0])
    page = page_of(copied[0])
    words = shown(page)
    assert "Fresh trainings" in words and "0.5000 0.2500 0.2500, 0.7500" in words
    drawn = figures(page)["figures"]["ranking"]["data"]
    assert drawn[1]["y"] == ["the schedule found"]  # one that diverged has no place
    assert "inf" in words and HOSTILE not in page


@pytest.mark.parametrize("engine", ["forward", "reverse:device"])
def test_trust_is_what_the_seeds_say(tmp_path, engine):
    study = ng.Study(tmp_path / "study.db")
    search(study, engine=engine, outer="paper", seeds=3, outer_steps=1, budget=None)
    record = read(study)
    step = record.steps[0]
    found = list(coefficients(record, step))
    assert [c.place for c in found[:3]] == ["steps 0 to 2", "steps 3 to 5", "steps 6 to 7"]
    for index, one in enumerate(found[:3]):
        gradients = [h.gradients["learning_rate"] for h in step.hypergradients]
        values = [float(gradient[index]) for gradient in gradients]
        assert len(values) == 3
        assert one.ratio == pytest.approx(abs(np.mean(values)) / (np.std(values, ddof=1) / 3**0.5))
        agree = len({np.sign(value) for value in values}) == 1
        assert (one.same == 3) == agree == (one.verdict != "seeds disagree")
    words = shown(page_of(study))
    assert "Outer step 0 has the hypergradients of 3 seeds." in words


def test_variables_are_summed_up_in_words(tmp_path):
    task = small_task(
        hyperparameters={"weights": ng.Variable(initial=torch.ones(96), bounds=(0.0, 2.0))},
        loss=lambda o, t, hypers: (
            hypers["weights"][hypers.index]
            * torch.nn.functional.cross_entropy(o, t, reduction="none")
        ).mean(),
        validation_loss=torch.nn.functional.cross_entropy,
    )
    study = ng.Study(tmp_path / "study.db")
    settings = {"steps": STEPS, "outer_steps": 1, "outer": "paper", "study": study}
    ng.tune(task, ng.SGD(0.1, 0.5, 0.0), **settings)
    page = page_of(study)
    assert "96 values from" in shown(page)
    assert not any(key.startswith("schedule") for key in figures(page)["figures"])
    # Too many to write down: the file is named.
    assert 'ng.Schedule.load("schedule.json")' in shown(page)


@pytest.mark.parametrize("steps", [1, 7, 399, 400, 401, 100_000])
def test_blocks_keep_the_mean(steps):
    values = np.random.default_rng(0).normal(size=steps)
    places, means = blocks(values, steps)
    assert len(places) == min(steps, POINTS)
    sizes = np.diff(np.linspace(0, steps, len(places) + 1).round())
    assert (means * sizes).sum() == pytest.approx(values.sum())
    assert np.all(np.diff(places) > 0)


@pytest.mark.parametrize("basis", [ng.Windows(3), ng.Linear(3), ng.PerStep(), ng.Constant()])
@pytest.mark.parametrize("steps", [3, 10, 3000])
def test_drawn_curves_pass_through_the_values(basis, steps):
    hyper = ng.SGD(learning_rate=basis).hyperparameters(steps)["learning_rate"]
    values = torch.linspace(0.1, 0.9, basis.size(steps), dtype=torch.float64)
    schedule = ng.Schedule.initial({"learning_rate": hyper})
    curve = schedule.with_coefficients({"learning_rate": values}).curves["learning_rate"]
    places, drawn, straight = over_run(curve, steps)
    at = np.arange(steps) + 0.5
    read_ = np.interp(at, places, drawn)
    if not straight:
        read_ = drawn[np.searchsorted(places, at, side="right") - 1]
    np.testing.assert_allclose(read_, curve.values(steps).numpy(), atol=0.01)
    assert len(places) <= 2 * POINTS


def test_band_is_the_deviation_over_seeds():
    mean, deviation = band([np.array([1.0, 2.0]), np.array([3.0, 2.0])])
    assert mean.tolist() == [2.0, 2.0]
    np.testing.assert_allclose(deviation, [2**0.5, 0.0])
    assert band([np.array([1.0])])[1] is None


def test_ticks_of_decades_are_few_and_inside():
    for low, high in ((0.1, 3.0), (1e-5, 1.0), (1e-12, 1e3)):
        places, texts = Axis.of("", [low, high]).ticks()
        assert 2 <= len(places) <= 10
        assert all(low / 1.6 <= place <= high * 1.6 for place in places)
        assert len(texts) == len(set(texts))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.db"], "No study in 'nowhere.db'"),
        (["nowhere.db", "--name", "a"], "No study file 'nowhere.db'"),
        (["ours.db", "--name", "other"], "No study 'other' in 'ours.db'. Studies there: empty."),
        (["ours.db"], "Study 'empty' in 'ours.db' has no finished outer step to report. Go on with it"),
        (["text.db"], "no SQLite database, or is damaged"),
        (["tables.db"], "the database holds no studies"),
        (["optuna.db"], "was not made by nongreedy"),
        (["."], "is a directory"),
        (["done.db", "--out", "text.db/report"], "Cannot write the report to 'text.db/report'"),
        (["damaged.db"], "cannot be read (TypeError: "),
    ],
)  # fmt: skip
def test_what_cannot_be_reported_is_said_in_a_line(inputs, monkeypatch, arguments, message):
    monkeypatch.chdir(inputs)
    before = sorted(inputs.iterdir())
    result = run("report", *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(inputs.iterdir()) == before
    with sqlite3.connect(inputs / "tables.db") as database:  # nothing was added
        assert database.execute("select name from sqlite_master").fetchall() == [("mine",)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Files that can and that cannot be reported."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "text.db").write_text("text, and no database at all " * 99)
    with sqlite3.connect(folder / "tables.db") as database:
        database.execute("create table mine (a)")
    ng.Study(folder / "ours.db", "empty").open(create=True).close()
    optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", study_name="theirs")
    search(folder / "done.db", outer="paper", outer_steps=1)
    shutil.copy(folder / "done.db", folder / "damaged.db")
    with sqlite3.connect(folder / "damaged.db") as database:
        database.execute(
            "update trial_user_attributes set value_json = replace(value_json, 'accepted', 'a') "
            "where key = 'row'"
        )
    return folder


def test_the_command_writes_three_files(inputs, tmp_path):
    result = run("report", inputs / "done.db", "--out", tmp_path / "deep" / "er")
    assert result.exit_code == 0, result.output
    assert "report.html" in result.output
    written = {path.name: path.read_bytes() for path in (tmp_path / "deep" / "er").iterdir()}
    starts = {"report.html": b"<!DOCTYPE html>", "report.png": b"\x89PNG", "report.svg": b"<?xml"}
    assert written.keys() == starts.keys()
    assert all(written[name].startswith(start) for name, start in starts.items())
