"""Things to look at: pictures, one readable line each, tables, the live page, what the terminal shows."""

import json
import math
import warnings
from xml.etree import ElementTree

import matplotlib
import pytest
import torch
from matplotlib import pyplot
from typer.testing import CliRunner

import nongreedy as ng
from nongreedy.cli import app
from nongreedy.reports import ReportCallback, report
from nongreedy.schedules._drawing._sketch import sparkline
from nongreedy.schedules._words import alike

from .study_runs import OPTIMIZER, STEPS, KillAt, Killed, search, small_task

matplotlib.use("agg")
HOSTILE = "<script>alert(1)</script>"
SCHEDULE = ng.Schedule.of(learning_rate=[0.1, 0.05, 0.01], momentum=0.9, weight_decay=5e-4)

RAMP = torch.arange(8.0)[:, None]


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study and the result of its search."""
    study = ng.Study(tmp_path_factory.mktemp("look") / "study.db")
    return study, search(study)


@pytest.fixture(scope="module")
def compared():
    settings = {"steps": STEPS, "budget": 8, "seeds": 2, "retrain_seeds": 2, "curve_seeds": 0}
    return ng.compare(
        small_task(), OPTIMIZER, methods=["default", "cosine", "random"], name=HOSTILE, **settings
    )


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)])


# ---- pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("steps", "end"), [(None, 100), (30, 30)])
def test_a_schedule_draws_itself_over_steps_or_percent(steps, end):
    panels = SCHEDULE.plot(steps)
    assert [panel.get_title("left") for panel in panels] == [
        "learning rate", "momentum", "weight decay",
    ]  # fmt: skip
    assert all(panel.get_xlim() == (0, end) for panel in panels)
    (line,) = panels[0].lines
    assert line.get_ydata()[0] == 0.1 and line.get_ydata()[-1] == 0.01


def test_a_schedule_draws_in_given_axes_and_says_how_many_it_needs():
    own = pyplot.subplots(1, 3)[1]
    assert [*SCHEDULE.plot(ax=own)] == [*own]
    alone = pyplot.subplots()[1]
    assert [*ng.Schedule.of(momentum=0.9).plot(ax=alone)] == [alone]
    with pytest.raises(ValueError, match=r"1 axes for 3 panels .*plt.subplots\(1, 3\)"):
        SCHEDULE.plot(ax=alone)


def test_what_does_not_change_over_a_run_has_no_picture():
    optimizer = {"weights": ng.Variable(initial=torch.zeros(3))}
    task = ng.Task(
        lambda: torch.nn.Linear(2, 1), lambda output, target, hypers: output.mean() * hypers["weights"][0],
        (torch.zeros(8, 2), RAMP), (torch.ones(8, 2), RAMP), batch_size=4,
        hyperparameters=optimizer, validation_loss=torch.nn.functional.mse_loss,
    )  # fmt: skip
    schedule = ng.Schedule.initial(task.hyperparameters())
    with pytest.raises(ValueError, match="Nothing of the schedule changes"):
        schedule.plot()
    assert "<svg" not in schedule._repr_html_() and "0  0  0" in schedule._repr_html_()
    assert repr(schedule) == "Schedule(weights=0 to 0 (shape (3,)))"


def test_a_result_draws_its_schedule_and_its_losses(finished):
    titles = [panel.get_title("left") for panel in finished[1].plot()]
    assert titles == ["learning rate", "momentum", "weight decay", "validation loss"]


@pytest.mark.parametrize("what", ["schedule", "result"])
def test_notebooks_get_pictures_without_scripts(finished, what):
    thing = finished[1] if what == "result" else finished[1].schedule
    shown = thing._repr_html_()
    pictures = ElementTree.fromstring(f"<all>{shown}</all>").iter("svg")
    assert len([*pictures]) == (4 if what == "result" else 3)
    assert "script" not in shown and "nan" not in shown


def test_names_in_pictures_are_escaped():
    shown = ng.Schedule.of(**{HOSTILE: [0.1, 0.2]})._repr_html_()
    assert "<script" not in shown and "&lt;script" in shown


def test_a_sparkline_has_the_shape_of_its_values_and_none_of_rounding():
    assert sparkline([0.0, 0.5, 1.0], 3) == "▁▅█"
    assert sparkline([1e-3, 1e-2, 1e-1], 3) == "▁▅█"  # on the scale of a chart
    assert len(set(sparkline([3.16, 3.16 + 1e-9, 3.16], 9))) == 1


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([5e-4, 0.001, 0.01], ["0.0005", "0.001", "0.01"]),
        ([0.0, 1e-5, 0.001], ["0", "1e-5", "1e-3"]),
        ([0.5, 20000.0], ["0.5", "2e4"]),
        ([0.0], ["0"]),
    ],
)
def test_numbers_of_one_axis_are_written_alike(values, told):
    assert alike(values) == told


# ---- one readable line -------------------------------------------------------------------------

WRITTEN = [
    ng.Windows(7), ng.Windows("auto"), ng.Windows(edges=[0.25]), ng.Linear(5, initial=0.1),
    ng.Constant(), ng.PerStep(bounds=(0.0, 1.0)), ng.SGD(), ng.SGD(ng.Linear(5), momentum=0.9),
    ng.AdamW(learning_rate=ng.Linear(3), clip_norm=1.0),
]  # fmt: skip


@pytest.mark.parametrize("value", WRITTEN, ids=repr)
def test_bases_and_optimizers_are_shown_as_they_are_written(value):
    assert eval(repr(value), {**vars(ng)}) == value
    assert len(repr(value)) < 70


def test_results_are_shown_in_a_line(finished):
    shown = repr(finished[1])
    assert shown.startswith("Result(completed, validation loss 0.") and "\n" not in shown
    assert "knots" in shown or "windows" in shown
    assert finished[1].gain.verdict in str(finished[1])


def test_other_things_are_shown_in_a_line(compared):
    task = small_task()
    assert repr(task) == (
        "Task(a model on 96 examples, 60 for validation; loss cross_entropy, batches of 16, cpu)"
    )
    found = ng.hypergradient(task, OPTIMIZER, steps=STEPS)
    assert repr(found).startswith(f"Hypergradient(value={found.value:.3g}, learning_rate=")
    trust = ng.trust(task, OPTIMIZER, steps=STEPS, seeds=2, smoothness=None)
    assert repr(trust) == f"Trust({trust.verdict.name}; 2 seeds, {STEPS} steps)"
    assert repr(compared).startswith("Comparison(3 methods, 6 searches; best ")
    plan = repr(ng.plan(task, OPTIMIZER, steps=STEPS, engines=["reverse"]))
    assert plan.startswith("Plan(a plain run of") and "plain runs, " in plan


def test_models_are_named_in_titles():
    data = torch.zeros(8, 2), RAMP
    rest = torch.nn.functional.mse_loss, data, (torch.ones(8, 2), RAMP)

    def my_model():
        return torch.nn.Linear(2, 1)

    for model, name in [(torch.nn.Linear(2, 1), "Linear"), (my_model, "my_model")]:
        assert ng.Task(model, *rest, batch_size=4).name == f"{name} on 8 examples"


# ---- tables ------------------------------------------------------------------------------------


def test_the_history_is_a_data_frame(finished):
    result = finished[1]
    frame = result.history_dataframe()
    assert frame["validation_loss"].tolist() == [row.validation_loss for row in result.history]
    assert frame["learning_rate[0]"].tolist() == [
        row.values["learning_rate"][0] for row in result.history
    ]


def test_a_study_tells_its_result_without_running(finished):
    study, result = finished
    told = study.result()
    assert told.schedule == result.schedule and told.history == result.history
    for name in ("validation_loss", "status", "cost", "gain"):
        assert getattr(told, name) == getattr(result, name), name


def test_a_study_that_was_killed_tells_what_it_has(tmp_path):
    study = ng.Study(tmp_path / "study.db")
    with pytest.raises(Killed):
        search(study, outer="paper", callbacks=[KillAt(2 * STEPS + 3)])
    told = study.result()
    assert told.status is ng.Status.interrupted and len(told.history) == 1
    with pytest.raises(ng.StudyError, match="No study file"):
        ng.Study(tmp_path / "none.db").result()


# ---- pages -------------------------------------------------------------------------------------


def test_a_report_is_small_and_titled_by_task_and_date(finished, tmp_path):
    page = report(finished[0], tmp_path)
    assert page.stat().st_size < 2e6
    title = page.read_text("utf-8").split("<title>")[1].split("</title>")[0]
    assert title.startswith("a model on 96 examples, 20") and "study nongreedy" in title


def test_a_comparison_shows_task_schedules_and_two_orders(compared, tmp_path):
    page = compared.save(tmp_path)[2].read_text("utf-8")
    assert "<title>Comparison: &lt;script&gt;" in page and HOSTILE not in page
    found = page.split("Schedules found")[1].split("</section>")[0]
    assert all(f"<h3>{name}</h3>" in found for name in ("default", "cosine", "random"))
    assert found.count("<svg") == 9
    assert "The ranking is by validation accuracy, the regret by validation loss" in page


class Watch(ng.Callback):
    """What the live page says while the search goes on."""

    def __init__(self, page):
        self.page, self.seen = page, []

    def on_inner_step(self, step, steps):
        if step == 0:
            self.seen.append(self.page.read_text("utf-8"))


def test_a_live_page_is_read_again_until_the_search_has_ended(tmp_path):
    study = ng.Study(tmp_path / "study.db")
    live = ReportCallback(study, refresh=2)
    watch = Watch(live.page)
    search(study, callbacks=[live, watch])
    refresh = '<meta http-equiv="refresh" content="2">'
    assert all(refresh in page for page in watch.seen)
    assert "first outer step is being taken" in watch.seen[0] and "Outer steps" in watch.seen[-1]
    assert refresh not in live.page.read_text("utf-8")
    assert (tmp_path / "report.png").exists()


def test_a_live_page_ends_with_a_search_that_fails(tmp_path):
    study = ng.Study(tmp_path / "study.db")
    live = ReportCallback(study)
    with pytest.raises(Killed):
        search(study, outer="paper", callbacks=[live, KillAt(2 * STEPS + 3)])
    assert 'http-equiv="refresh"' not in live.page.read_text("utf-8")


def test_a_live_page_that_cannot_be_written_ends_no_search(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    study = ng.Study(tmp_path / "study.db")
    live = ReportCallback(study)
    monkeypatch.setattr("nongreedy.reports._live.report", full)
    with pytest.warns(UserWarning, match="live report is not written: .*No space left"):
        assert math.isfinite(search(study, callbacks=[live]).validation_loss)


# ---- the terminal ------------------------------------------------------------------------------


def test_show_prints_a_table_of_80_columns_and_writes_pictures(tmp_path):
    path = SCHEDULE.save(tmp_path / "schedule.json")
    shown = run("show", path)
    assert shown.exit_code == 0 and max(map(len, shown.output.splitlines())) <= 80
    row = next(line for line in shown.output.splitlines() if line.startswith("learning rate"))
    assert row.split()[2:6] == ["0.1", "0.01", "0.01", "0.1"] and row.split()[6].startswith("█")
    for name in ("a.png", "a.svg", "a.html"):
        assert run("show", path, "--out", tmp_path / name, "--total-steps", 50).exit_code == 0
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{path}", "--out", "a.gif"], "ends in none of .png, .svg, .pdf, .html"),
        (["nowhere.json"], "nowhere.json"),
        (["{path}", "--out", "{path}/a.png"], "error: "),
    ],
)
def test_show_says_what_is_wrong_in_a_line(tmp_path, words, said):
    path = SCHEDULE.save(tmp_path / "schedule.json")
    shown = run("show", *(word.format(path=path) for word in words))
    assert shown.exit_code in (1, 2) and said in shown.output
    assert isinstance(shown.exception, SystemExit)


def test_trust_speaks_text_and_json():
    words = ["trust", "--model", "mlp", "--epochs", 1, "--seeds", 2]
    text, content = run(*words), json.loads(run(*words, "--json").output)
    assert text.output.startswith("digits, mlp: ") and content["verdict"] in text.output
    assert (
        content["task"] == "digits, mlp" and len(content["signals"]["learning_rate"]["mean"]) == 5
    )


def test_cite_prints_what_a_study_used(finished):
    assert "@" in run("cite").output
    assert run("cite", finished[0].storage).output.rstrip("\n") == ng.cite(finished[1]).rstrip("\n")
    assert run("cite", "nowhere.db").exit_code == 2


def test_words_of_the_table_are_explained_once():
    from nongreedy.search.progress import Columns

    row = ng.OuterStep(
        0, 0.5, 0.9, {"momentum": [0.9]}, {"momentum": "+"}, 1.0, 2.0, True, "rung 1: step"
    )
    columns = Columns({"momentum": 1}, 80)
    first = " ".join(columns.legend(row))
    assert "the loss rises (+)" in first and "rung: how finely" in first and "decades" not in first
    assert columns.legend(row) == []


def test_nothing_here_warns(finished):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        finished[1].plot()
        finished[1]._repr_html_()
