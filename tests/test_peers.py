"""The benchmark against peers: that every method differentiates the same run, and what it says of costs."""

import dataclasses
import itertools

import pytest

import nongreedy as ng
from benchmarks import _peer_study
from benchmarks._peer_agreement import SETTINGS, TOLERANCE, differences, judge, judge_run
from benchmarks._peer_cells import PLAIN, Cell, line, measure
from benchmarks._peer_figure import draw
from benchmarks._peer_list import METHODS
from benchmarks._peer_study import Costs, Limits
from benchmarks._peer_table import tables
from benchmarks.peers import cells, parse
from nongreedy.testing import assert_same

OURS = METHODS["stored"].method
LIBRARIES = ("higher", "torchopt", "torchopt-eps-root")
SMOOTH = [name for name in SETTINGS if "dead" not in name]


@pytest.mark.parametrize("name", ["autograd", "paper"])
@pytest.mark.parametrize("optimizer", SMOOTH)
def test_the_recipes_agree_with_ours(optimizer, name):
    method, setting = METHODS[name].method, SETTINGS[optimizer]
    if reason := method.cannot(setting.optimizer, ""):
        pytest.skip(reason)
    run, schedule = setting.run(), setting.schedule(OURS)
    assert method.loss(run, schedule) == pytest.approx(OURS.loss(run, schedule), rel=1e-12)
    expected = OURS.hypergradient(run, schedule, setting.rows)
    assert_same(method.hypergradient(run, schedule, setting.rows), expected, 1e-9)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("optimizer", SETTINGS)
def test_libraries_agree_with_differences_of_their_own_runs(optimizer, name):
    method, setting = METHODS[name].method, SETTINGS[optimizer]
    if missing := method.missing():
        pytest.skip(missing)
    run, schedule = setting.run(), setting.schedule(method)
    learn = [row for row in setting.rows if method.cannot(setting.optimizer, row) is None]
    if not learn:
        pytest.skip(method.cannot(setting.optimizer, setting.rows[0]))
    if "dead" in optimizer and judge(method, setting, learn[0]).text == "**NaN**":
        pytest.skip("NaN where a gradient is exactly zero")
    found = method.hypergradient(run, schedule, learn)
    expected = {row: differences(method, run, schedule, row) for row in learn}
    assert_same(found, expected, TOLERANCE)


def test_a_gradient_that_is_exactly_zero_breaks_plain_autograd_and_not_ours():
    setting = SETTINGS["Adam, dead ReLU"]
    assert judge(METHODS["autograd"].method, setting, "learning_rate").text == "**NaN**"
    run, schedule = setting.run(), setting.schedule(OURS)
    found = OURS.hypergradient(run, schedule, ["learning_rate"])["learning_rate"]
    expected = differences(OURS, run, schedule, "learning_rate")
    assert_same({"learning_rate": found}, {"learning_rate": expected})


def test_what_a_method_refuses_is_said_by_name():
    found = judge(METHODS["paper"].method, SETTINGS["Adam"], "beta1")
    assert found.text == "no" and "SGD" in found.reason
    found = judge(METHODS["reversible"].method, SETTINGS["RMSprop"], "momentum")
    assert found.text == "no" and "RMSprop" in found.reason


def test_a_library_that_is_missing_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in LIBRARIES:
        assert "pip install 'nongreedy[peers]'" in METHODS[name].method.missing()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("optimizer", SMOOTH)
def test_every_method_trains_as_torch_does(optimizer, name):
    method = METHODS[name].method
    if missing := method.missing():
        pytest.skip(missing)
    found = judge_run(method, SETTINGS[optimizer])
    assert found.text in ("same", "no") or found.reason == method.differs(ng.Adam())


# ---- The studies of cost --------------------------------------------------------------------------------


@pytest.mark.parametrize(("study", "count"), [("horizon", 3), ("count", 5)])
def test_a_cell_is_measured(study, count):
    found = measure(Cell(study, "mlp", 2, "autograd", 3, count))
    assert found["finite"] and found["stopped"] is None
    assert 0 < found["before"] <= found["peak"]


def test_the_line_goes_through_the_last_two_points_and_does_not_fall():
    assert line([(100, 30.0), (10, 12.0), (1, 99.0)], 1000) == pytest.approx(210)
    assert line([(10, 12.0), (100, 11.0)], 1000) == 11.0


@pytest.fixture
def fake(monkeypatch):
    """Costs that grow with the steps, instead of processes and clocks; and which cells were run."""
    ran = []

    def measured(cell, threads):
        ran.append(cell)
        growth = 0.01 if cell.method == PLAIN else 1.0
        seconds = 1e-3 * cell.steps
        peak = 300 + growth * cell.steps
        return {"seconds": seconds, "before": 300.0, "peak": peak, "finite": True, "stopped": None}

    monkeypatch.setattr(_peer_study, "measured", measured)
    monkeypatch.setattr(Cell, "body", lambda cell: lambda: {})
    return ran


def test_what_would_pass_a_limit_is_extrapolated_and_a_log_is_gone_on_with(fake, tmp_path):
    study = ng.Study(tmp_path / "peers.db")
    options = parse(["--what", "horizon", "--horizons", "1000", "100000", "--methods", "autograd"])
    Costs(study, Limits(8000, 50), turns=1, threads=1).go(cells(options))
    assert {cell.steps for cell in fake if cell.method == "autograd"} == {10, 100, 1000}
    row = study.notes()["horizon|mlp|16|autograd|100000|9|0.01|memory"]
    assert row["forecast"] == ["memory", "seconds"]
    assert row["peak"] == pytest.approx(100_300) and row["seconds"] == pytest.approx(100)

    fake.clear()
    before = study.address.path.read_bytes()
    Costs(study, Limits(8000, 50), turns=1, threads=1).go(cells(options))
    assert not fake and study.address.path.read_bytes() == before  # nothing was left to do

    Costs(study, Limits(200_000, 200), turns=1, threads=1).go(cells(options))
    assert {cell.steps for cell in fake} == {100_000}  # with higher limits, only what was left out


def test_many_hyperparameters_of_a_long_run_are_forecast_from_short_runs(fake, tmp_path):
    study = ng.Study(tmp_path / "peers.db")
    chosen = [Cell("count", "mlp", 16, name, 9000, 1) for name in (PLAIN, "higher")]
    Costs(study, Limits(8000, 50), turns=1, threads=1).go(chosen)
    assert [cell.steps for cell in fake if cell.method == "higher"] == [10, 100]
    assert study.notes()[f"{chosen[1].key}|time"]["forecast"] == ["memory"]


def test_more_windows_than_steps_are_forecast_to_cost_no_more_than_the_steps(tmp_path, monkeypatch):
    def measured(cell, threads):
        return {
            "seconds": cell.count,
            "before": 300.0,
            "peak": 300.0,
            "finite": True,
            "stopped": None,
        }

    monkeypatch.setattr(_peer_study, "measured", measured)
    study = ng.Study(tmp_path / "peers.db")
    chosen = [Cell("count", "mlp", 16, "paper", 50, count) for count in (1, 10, 10_000)]
    Costs(study, Limits(8000, 20), turns=0, threads=1).go(chosen)
    assert study.notes()[f"{chosen[2].key}|memory"]["seconds"] == pytest.approx(50)
    assert f"{chosen[2].key}|time" not in study.notes()  # with no turns, no times


def test_a_log_becomes_a_table_and_a_figure(fake, tmp_path):
    study = ng.Study(tmp_path / "peers.db")
    names = ["autograd", "checkpoint"]
    like = Cell("horizon", "mlp", 16, PLAIN, 1, 9)
    chosen = [
        dataclasses.replace(like, method=name, steps=steps)
        for steps, name in itertools.product((10, 100, 100_000), (PLAIN, *names))
    ]
    Costs(study, Limits(8000, 1000), turns=1, threads=1).go(chosen)
    said = "\n".join(tables(study.notes(), like))
    assert "≈ 100,300 (77.2×)" in said and "plain autograd, unrolled" in said
    assert "* plain autograd, unrolled: ≈ " in said
    draw(study.notes(), like, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"finite": False, "stopped": None}, "400 (1×), **NaN**"),
        ({"finite": False, "stopped": "An adjoint became infinite."}, "stopped"),
        ({"failed": "exit status -9: Killed"}, "exit status -9: Killed"),
    ],
)
def test_what_went_wrong_is_in_the_table(fake, monkeypatch, tmp_path, found, said):
    measured = {"seconds": 1.0, "before": 300.0, "peak": 400.0}
    wrong = found if "failed" in found else {**measured, **found}
    right = {**measured, "finite": True, "stopped": None}

    def one_is_wrong(cell, threads):
        return right if cell.method == PLAIN else wrong

    monkeypatch.setattr(_peer_study, "measured", one_is_wrong)
    study, like = ng.Study(tmp_path / "peers.db"), Cell("horizon", "mlp", 16, PLAIN, 10, 9)
    chosen = [like, dataclasses.replace(like, method="forward")]
    Costs(study, Limits(8000, 50), turns=1, threads=1).go(chosen)
    assert said in "\n".join(tables(study.notes(), like))
    draw(study.notes(), like, tmp_path / "figure.png")
