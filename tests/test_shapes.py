"""Searches over shapes of a learning rate: families, searches that go on, what is made of their losses."""

import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import nongreedy as ng
from benchmarks.search import _shape_searches, shapes
from benchmarks.search._data import Split
from benchmarks.search._families import FAMILIES
from benchmarks.search._reached import against, curves, draw, markdown, needed
from benchmarks.search._shape_searches import FLAT, FRESH, RATES, flat, judge, scheduled, searches
from nongreedy.errors import DivergedError

STEPS = 10
SPLINE = {"warm_up": 0.2, "first": 0.8, "first_at": 0.25, "second": 0.5, "second_at": 0.5}
SMOOTH = {
    "start": 0.3, "end": 0.1, "peak_at": 0.5, "first": 0.6, "first_at": 0.25, "second": 0.2,
    "second_at": 2 / 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def task():
    source = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=source)
    data = x, (x[:, 0] > x[:, 1]).long()
    return ng.Task(
        lambda: torch.nn.Linear(4, 2), torch.nn.functional.cross_entropy, data, data[:2], batch_size=16
    )  # fmt: skip


# ---- families ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_a_shape_is_a_share_of_the_base_rate_at_each_step(name):
    family, source = FAMILIES[name], np.random.default_rng(0)
    for _ in range(50):
        p = {key: source.uniform(low, high) for key, (low, high) in family.ranges.items()}
        shape = family.shape(p, 1000)
        assert shape.shape == (1000,) and shape.min() >= 0 and shape.max() <= 1
        assert shape.max() > 0.9  # the peak is 1, and falls between two of the steps
        if warm_up := p.get("warm_up"):
            rising = np.arange(1000) / 1000 < warm_up
            assert np.allclose(shape[rising], np.arange(rising.sum()) / (1000 * warm_up))
            assert (np.diff(shape[~rising]) <= 1e-12).all()


def test_a_cosine_is_half_a_cosine_after_its_warm_up():
    shape = FAMILIES["cosine"].shape({"warm_up": 0.2, "exponent": 2.0}, 10)
    assert shape[:3].tolist() == [0.0, 0.5, 1.0]
    assert shape[6] == pytest.approx(0.25)  # half way down, squared
    assert shape[9] == pytest.approx(((1 + math.cos(math.pi * 7 / 8)) / 2) ** 2)


def test_splines_go_through_their_points():
    spline = FAMILIES["spline"].shape(SPLINE, 10)
    assert spline[[0, 1, 2, 4, 7]] == pytest.approx([0.0, 0.5, 1.0, 0.8, 0.4])
    assert 0 < spline[9] < spline[8] < 0.4  # and to 0 after the last step
    smooth = FAMILIES["smooth"].shape(SMOOTH, 100)
    assert smooth[[0, 25, 50, 75]] == pytest.approx([0.3, 0.6, 1.0, 0.2])
    assert smooth[99] == pytest.approx(0.1, abs=0.01)
    assert (np.diff(smooth[:51]) > 0).all() and (np.diff(smooth[50:]) < 0).all()


def test_the_peak_counts_where_another_point_lies_on_it():
    smooth = FAMILIES["smooth"].shape({**SMOOTH, "peak_at": 0.25}, 100)
    assert smooth[25] == 1.0


# ---- the workload --------------------------------------------------------------------------------


def test_the_workload_is_fitted_and_judged_on_the_same_images(recwarn):
    source = torch.Generator().manual_seed(0)
    x, y = torch.randn(400, 3, 16, 16, generator=source), torch.arange(400) % 10
    data = SimpleNamespace(cifar=Split((x, y), (x[:5], y[:5]), (x[:5], y[:5])))
    task = shapes.task_of(data)  # pyright: ignore[reportArgumentType]
    for examples in (task.train, task.validation):
        assert torch.equal(examples.source[0], x[: shapes.IMAGES])
    assert not [w for w in recwarn if "same data" in str(w.message)]
    assert len(judge(task, flat(task, 2, 2).initial, 2, 0)[0]) == FRESH


# ---- searches ------------------------------------------------------------------------------------


def test_what_is_run_has_the_rates_of_the_shape(task):
    problem = flat(task, STEPS, 5)
    assert problem.initial["learning_rate"].tolist() == [FLAT] * 5
    schedule = scheduled(problem, FAMILIES["spline"], SPLINE, 0.1)
    assert schedule.curves.keys() == problem.initial.curves.keys()
    expected = 0.1 * FAMILIES["spline"].shape(SPLINE, STEPS)
    assert np.array_equal(schedule.values(STEPS)["learning_rate"].numpy(), expected)


@pytest.mark.parametrize("method", ["ours-3", "random-cosine", "tpe-smooth"])
def test_searches_of_several_budgets_are_those_of_each_alone(method, task):
    both = [*searches(task, STEPS, method, [8, 16], seed=1)]
    (alone,) = searches(task, STEPS, method, [16], seed=1)
    assert {**both[1], "seconds": 0} == {**alone, "seconds": 0}
    for row in both:
        assert 4 <= row["cost"] <= row["budget"] and len(row["losses"]) == FRESH
        assert all(0 <= error <= 1 for error in row["errors"])
    (other,) = searches(task, STEPS, method, [8], seed=2)
    assert other["losses"] != both[0]["losses"]


def test_ours_begins_flat_and_no_other_weights_are_tried(task, monkeypatch):
    asked, tune = [], ng.tune
    monkeypatch.setattr(ng, "tune", lambda *a, **k: asked.append(k) or tune(*a, **k))
    list(searches(task, STEPS, "ours-3", [8], 0))
    assert asked[0]["start"]["learning_rate"].tolist() == [FLAT] * 3
    assert asked[0]["outer"] == ng.ModelSearch(averaging=False)


def test_random_search_runs_a_shape_at_every_rate_and_goes_on_where_one_diverges(task, monkeypatch):
    ran, train = [], _shape_searches.Meter.train

    def diverging(meter, schedule):
        rates = schedule.values(STEPS)["learning_rate"]
        ran.append(rates)
        if len(ran) == 2:
            raise DivergedError("loss", 3, STEPS)
        return train(meter, schedule)

    monkeypatch.setattr(_shape_searches.Meter, "train", diverging)
    [row] = searches(task, STEPS, "random-spline", [16], 0)
    count = len(RATES)
    for k in range(count):
        assert torch.allclose(ran[k], ran[0] * RATES[k] / RATES[0])
    assert not torch.allclose(ran[count], ran[0]) and math.isfinite(row["losses"][0])


def test_where_all_runs_diverge_the_loss_is_infinite(task, monkeypatch):
    def diverged(meter, schedule):
        meter.charge(1.0)
        raise DivergedError("loss", 3, STEPS)

    monkeypatch.setattr(_shape_searches.Meter, "train", diverged)
    [row] = searches(task, STEPS, "random-spline", [8], 0)
    assert row["losses"] == [math.inf] * FRESH
    assert "inf" in markdown([json.loads(json.dumps(row))])


def test_the_command_goes_on_where_it_was_killed(task, tmp_path, monkeypatch, capsys):
    out, begun = tmp_path / "deep" / "rows.jsonl", []
    monkeypatch.setattr(shapes, "task_of", lambda _: task)
    monkeypatch.setattr(shapes, "STEPS", STEPS)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)

    def run(*words):
        begun.clear()
        monkeypatch.setattr(sys, "argv", ["shapes", "--out", str(out), "--seeds", "1", *words])
        shapes.main()

    def counted(task, steps, method, budgets, seed):
        begun.extend((method, budget) for budget in budgets)
        return searches(task, steps, method, budgets, seed)

    monkeypatch.setattr(shapes, "searches", counted)
    run("--methods", "ours-3", "--budgets", "8")
    run("--methods", "ours-3,tpe-cosine", "--budgets", "8,12")
    assert begun == [("ours-3", 12), ("tpe-cosine", 8), ("tpe-cosine", 12)]
    assert len(out.read_text().splitlines()) == 4
    run("--part", "judged", "--methods", "ours-3", "--budgets", "8")
    assert begun == [("ours-3", 8)]  # the other part's is another one
    capsys.readouterr()
    run("--table", "--figure", str(tmp_path / "shapes.png"))
    assert not begun and (tmp_path / "shapes.png").stat().st_size > 1000
    assert "| tpe-cosine |" in capsys.readouterr().out


# ---- what is made of them ------------------------------------------------------------------------


def row(method, seed, budget, cost, *losses):
    errors = [loss / 10 for loss in losses]
    return dict(method=method, seed=seed, budget=budget, cost=cost, losses=losses, errors=errors)


ROWS = [
    row("ours-5", 0, 20, 18.0, 0.9, 1.1), row("ours-5", 1, 20, 20.0, 0.8, 0.8),
    row("ours-5", 0, 80, 48.0, 0.5, 0.5), row("ours-5", 1, 80, 52.0, 0.4, 0.2),
    row("random-x", 0, 20, 20.0, 2.0), row("random-x", 0, 80, 80.0, 0.4),
    row("random-x", 0, 160, 160.0, 0.6), row("tpe-x", 0, 20, 20.0, 0.95), row("tpe-x", 0, 80, 80.0, 0.9),
]  # fmt: skip


def test_losses_are_means_over_searches_of_means_over_trainings():
    ours = curves(ROWS)["ours-5"]
    assert [(point.cost, point.searches) for point in ours] == [(19.0, 2), (50.0, 2)]
    assert [point.loss for point in ours] == pytest.approx([0.9, 0.4])
    assert ours[0].error == pytest.approx(0.1) and ours[0].wrong == pytest.approx(0.09)
    assert math.isnan(curves(ROWS)["tpe-x"][0].error)


def test_ratios_are_of_runs_that_are_needed_to_runs_that_were_spent():
    known = curves(ROWS)
    ours, random, tpe = known["ours-5"], known["random-x"], known["tpe-x"]
    assert (
        needed(random, 0.4) == 80.0 and needed(random, 0.39) is None and needed(ours, 5.0) == 19.0
    )
    assert (
        against(random, ours) == "80, 1.6 times"
    )  # 80 of the 50 that ours spent; it is later above
    assert against(tpe, ours) == "> 80, > 1.6 times"
    assert against(ours, tpe) == "19, 0.24 times"
    assert against(ours, random) == "50, 0.31 times"
    never = [row("tpe-x", 0, 80, 80.0, 0.1)]
    assert against(ours, curves(never)["tpe-x"]) == "> 50, > 0.62 times"


def test_the_table_holds_both_ways():
    text = markdown(ROWS)
    assert "over 1 to 2 searches" in text
    assert "| ours-5 | 0.9000 ± 0.1000 | 0.4000 ± 0.1000 |  | 50.0 | 4.0 % |" in text
    assert "| tpe-x | > 80, > 1.6 times | 19, 0.24 times |" in text
    assert "0.4000 of ours-5" in text
    assert markdown([]).startswith("Loss")


def test_the_figure_is_drawn_where_a_search_found_nothing(tmp_path):
    draw([*ROWS, row("tpe-x", 0, 160, 160.0, math.inf)], tmp_path / "figure.svg")
    assert "<svg" in (tmp_path / "figure.svg").read_text()
