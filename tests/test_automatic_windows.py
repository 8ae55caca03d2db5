"""Windows("auto"): split where seeds call for it, and nowhere else."""

import json
import statistics

import pytest
import torch
from scipy import stats

import nongreedy as ng
from benchmarks import trust as study
from benchmarks._noisy import NoisyQuadratic, Walk
from nongreedy.reports import schedule_figure
from nongreedy.search.rules._rungs import cut
from nongreedy.statistics import LEVEL, cuts
from nongreedy.statistics._splitting import _student
from nongreedy.testing import tiny_task

from .test_agreement import Analytic, WithoutSteps, search

STEPS = 64


def draws(seeds, shape=None, noise=1.0, seed=0):
    source = torch.Generator().manual_seed(seed)
    made = noise * torch.randn(seeds, STEPS, generator=source).double()
    return made if shape is None else made + shape


RISE = torch.linspace(-1, 1, STEPS).double()
LATE = torch.where(torch.arange(STEPS) >= 48, 1.0, 0.0).double()


@pytest.mark.parametrize("seeds", [2, 3, 8])
@pytest.mark.parametrize("count", [1, 4])
def test_the_test_keeps_its_level(seeds, count):
    # What all steps want the same, with noise common to all steps of a seed.
    false = 0
    for seed in range(300):
        common = draws(seeds, seed=1000 + seed)[:, :1]
        false += bool(cuts(draws(seeds, seed=seed) + common + 3.0, ng.Windows(count)))
    assert false / 300 <= LEVEL + 2 * (LEVEL * (1 - LEVEL) / 300) ** 0.5


FOUND = [
    (draws(6, RISE), ng.Windows(1), 0.25, 0.5, 0.75),
    (draws(6, RISE), ng.Windows(4)),  # W* is 18 steps: eighths would be farther from it
    (draws(6, 6 * LATE), ng.Windows(1), 0.5, 0.75),  # cut, and its half again
    (draws(6, 6 * LATE), ng.Windows(2), 0.75),
    (draws(6, 6 * LATE), ng.Windows(4)),  # each half as its other half
    (draws(6, 6 * LATE), ng.Windows(edges=(0.5,)), 0.75),
    (draws(6, 6 * LATE), ng.Windows(edges=(0.25,)), 0.625, 0.71875, 0.8125),
    (draws(1, 6 * LATE), ng.Windows(1)),  # of one seed, nothing is known
    (draws(6, RISE, noise=0.0), ng.Windows(8), *(k / 64 for k in range(1, 64) if k % 8)),
    (draws(6, torch.ones(STEPS).double(), noise=1e-12), ng.Windows(1)),  # rounding
    (draws(6, 0.02 * RISE), ng.Windows(1)),
]


@pytest.mark.parametrize("row", FOUND)
def test_windows_are_cut_where_halves_differ(row):
    per_step, basis, *expected = row
    assert cuts(per_step, basis) == expected


def test_windows_are_no_narrower_than_the_noise_supports():
    best = (6 * 1.0 / (1 / 63) ** 2) ** (1 / 3)  # W*: constant drift, independent noise
    for seeds in (8, 32, 128):
        windows = 1 + len(cuts(draws(seeds, 0.5 * RISE), ng.Windows(1)))
        assert 1 < windows <= STEPS / best * 2**0.5 * 1.2


def test_cutting_keeps_the_values():
    curve = ng.Schedule.of(learning_rate=[1.0, 2.0, 3.0, 4.0]).curves["learning_rate"]
    finer = cut(curve, [0.125, 0.6])
    assert finer.coefficients.tolist() == [1.0, 1.0, 2.0, 3.0, 3.0, 4.0]
    assert torch.equal(finer.values(1000), curve.values(1000))


def found_windows(states):
    return [len(state.schedule["learning_rate"]) for state in states]


@pytest.mark.parametrize(("tilt", "most"), [(0.0, 1), (2.0, 12)], ids=["flat", "falling"])
def test_on_a_known_loss(tilt, most):
    objective = Analytic(0.03, tilt=tilt, noise=1e-2)
    states, reports = search(objective, 1e-3, windows="auto", outer_steps=20)
    windows = found_windows(states)
    assert windows[0] == 1 and windows == sorted(windows)
    assert 1 <= windows[-1] <= most and (windows[-1] > 2) == (tilt > 0)
    # One window leaves tilt^2 / 12, two leave a quarter of it, four a sixteenth.
    assert min(report.loss for report in reports) < 1.005 + 0.15 * tilt**2 / 12


def test_it_needs_per_step_hypergradients():
    with pytest.raises(
        ValueError, match=r"learning_rate=Windows\('auto'\) .* Reverse or Reversible"
    ):
        search(WithoutSteps(0.03), 0.03, windows="auto")


def test_the_papers_rule_refuses_it():
    with pytest.raises(ValueError, match=r"learning_rate=Windows\('auto'\) .* outer='auto'"):
        ng.tune(tiny_task(), ng.SGD(ng.Windows("auto")), steps=5, outer="paper")


def expected_loss(problem, count, seeds, budget):
    losses, windows = [], []
    for seed in seeds:
        result = study.found_by_tuning(problem.task(), count, seed, steps=32, budget=budget)
        losses.append(problem.expected(result.schedule.values(32)["learning_rate"].tolist()))
        windows.append(len(result.schedule["learning_rate"]))
    return statistics.fmean(losses), windows


def test_flat_where_flat_is_best():
    problem = Walk(copies=8)
    loss, windows = expected_loss(problem, "auto", (0, 1), 60)
    assert max(windows) <= 2
    assert loss < 1.01 * problem.expected(problem.best(32))


def test_finer_where_decay_is_needed():
    problem = NoisyQuadratic(copies=64)
    loss, windows = expected_loss(problem, "auto", (0,), 100)
    four, _ = expected_loss(problem, 4, (0,), 100)
    flat = min(problem.expected([0.01 * k] * 32) for k in range(1, 100))
    assert min(windows) > 2
    assert loss < 0.65 * flat and loss < 1.1 * four


def test_a_search_repeats_itself_and_ends_with_an_ordinary_file(tmp_path):
    def once():
        optimizer = ng.SGD(ng.Windows("auto"), momentum=0.0)
        task = NoisyQuadratic(copies=64).task()
        return ng.tune(task, optimizer, steps=32, outer_steps=5, budget=50, dtype=torch.float64)

    first, second = once(), once()
    assert first.schedule.to_json() == second.schedule.to_json()
    assert len(first.schedule["learning_rate"]) > 1
    read = ng.Schedule.load(first.schedule.save(tmp_path / "schedule.json"))
    values = first.schedule.values(100)["learning_rate"]
    assert torch.equal(read.values(100)["learning_rate"], values)
    kind = json.loads((tmp_path / "schedule.json").read_text())["hyperparameters"]["learning_rate"]
    assert kind["basis"] in ("windows", "unequal_windows")
    schedule_figure(first.schedule, first.history, 32).savefig(tmp_path / "schedule.png")
    for row in first.history:
        edges = row.edges.get("learning_rate", [])
        assert not edges or len(edges) + 1 == len(row.values["learning_rate"])
        assert ("edges" in row.to_json()) is bool(row.edges)


def test_it_goes_along_with_bases_of_other_hyperparameters():
    optimizer = ng.SGD(ng.Windows("auto"), ng.Windows(2), ng.Linear(2))
    result = ng.tune(tiny_task(), optimizer, steps=8, outer_steps=3, budget=60)
    assert set(result.schedule.curves) == {"learning_rate", "momentum", "weight_decay"}
    h = ng.hypergradient(tiny_task(), optimizer, steps=8)
    assert h.gradients["learning_rate"].shape == (1,)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 40])
def test_chances_are_those_of_students_t(freedom):
    for score in (0.0, 0.01, 0.3, 1.0, 2.5, 10.0, 1e3, 1e300):
        expected = 2 * stats.t.sf(score, freedom)
        assert _student(score, freedom) == pytest.approx(expected, rel=0, abs=1e-14)
