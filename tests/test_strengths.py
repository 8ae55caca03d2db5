"""Strengths of a task are found all together, and means and other ways stand in the final."""

from dataclasses import replace

import pytest
import torch

import nongreedy as ng
from nongreedy.engines import Problem
from nongreedy.search import Budget, Memory
from nongreedy.search.rules._model_state import ModelState
from nongreedy.search.rules._strengths import is_strength, scaled, strengthened

from .helpers import tiny_task

SMOOTHING = ng.Constant(initial=0.05, bounds=(0.0, 0.5), transform=None)
WEIGHTS = ng.Variable(initial=torch.ones(80), bounds=(0.0, 5.0), transform=None)
SCALES = ng.Variable(initial=torch.ones(2), bounds=(0.1, 10.0), transform="log")
SHIFTS = ng.Variable(initial=torch.ones(2), bounds=(-1.0, 10.0), transform=None)


def smoothed(output, target, hypers):
    return torch.nn.functional.cross_entropy(output, target, label_smoothing=0.1) + sum(
        value.sum() * 0 for value in hypers.values()
    )


@pytest.fixture(scope="module")
def problem():
    rows = {"smoothing": SMOOTHING, "weights": WEIGHTS, "scales": SCALES, "shifts": SHIFTS}
    task = tiny_task(
        loss=smoothed, validation_loss=torch.nn.functional.cross_entropy, hyperparameters=rows
    )
    return Problem.of(task, ng.SGD(ng.Linear(2), ng.Windows(1)), steps=12)


def test_a_strength_is_short_of_the_task_and_off_at_its_lower_bound(problem):
    assert [name for name, hyper in problem.learned.items() if is_strength(hyper)] == ["smoothing"]


class Way:
    """Runs of one problem, whose loss is least at one factor of all strengths."""

    def __init__(self, problem, best, budget=None):
        self.problem, self.budget = problem, Budget(budget, 0.0)
        self.schedule, self.runs, self.best = problem.initial, [], best
        self.loss = self._value(problem.initial)

    def _value(self, schedule):
        return (schedule["smoothing"] / 0.05).log10().sub(self.best).square().item()

    def loss_of(self, schedule):
        if schedule == self.schedule:
            return self.loss
        loss = self._value(schedule)
        self.runs.append(schedule)
        self.budget.spend(1)
        if loss < self.loss:
            self.schedule, self.loss = schedule, loss
        return loss

    def strengthen(self):
        strengthened(
            self.problem, self.schedule, self.loss, self.loss_of, lambda: self.budget.affords(1)
        )


@pytest.mark.parametrize(
    ("best", "factor", "runs"),
    [(0.0, 0.0, 2), (0.1, 0.0, 2), (-0.4, -0.5, 2), (-2.0, -1.0, 2), (0.6, 0.5, 3), (5.0, 1.0, 3)],
)
def test_strengths_are_weaker_or_stronger_together_as_far_as_that_is_better(
    problem, best, factor, runs
):
    way = Way(problem, best)
    way.strengthen()
    assert way.schedule == scaled(problem, problem.initial, 10.0**factor)
    assert len(way.runs) == runs
    others = [name for name in problem.learned if name != "smoothing"]
    assert all(torch.equal(way.schedule[name], problem.initial[name]) for name in others)


def test_strengths_end_at_their_bounds_and_with_the_budget(problem):
    assert scaled(problem, problem.initial, 100.0)["smoothing"].item() == 0.5
    way = Way(problem, 5.0, budget=1.5)
    way.strengthen()
    assert len(way.runs) == 1


def test_where_there_are_no_strengths_nothing_is_run():
    problem = Problem.of(tiny_task(), ng.SGD(ng.Linear(2)), steps=12)
    known = {problem.initial.identity: 1.0}
    strengthened(problem, problem.initial, 1.0, lambda s: known[s.identity], lambda: True)


class Asked(Memory):
    """Remembers nothing but what was asked."""

    def __init__(self):
        self.schedules = []

    def recall(self, request):
        self.schedules.append(request.schedule)


@pytest.mark.parametrize(("budget", "weaker"), [(30, True), (16, False)])
def test_a_search_with_strengths_runs_all_of_them_weaker(budget, weaker):
    rows = {"smoothing": SMOOTHING, "mixing": replace(SMOOTHING, initial=0.2)}
    task = tiny_task(
        loss=smoothed, validation_loss=torch.nn.functional.cross_entropy, hyperparameters=rows
    )
    asked = Asked()
    ng.tune(
        task, ng.SGD(ng.Linear(2)), steps=12, budget=budget, outer_steps=1, study=asked,
        outer=ng.ModelSearch(averaging=False), progress=False,
    )  # fmt: skip
    places = {tuple(round(float(s[name]), 6) for name in rows) for s in asked.schedules}
    third = (round(0.05 * 10**-0.5, 6), round(0.2 * 10**-0.5, 6))
    assert (0.05, 0.2) in places and (third in places) == weaker


# ---- who stands in the final ------------------------------------------------------------------


def at(problem, rate):
    return problem.initial.with_coefficients({"learning_rate": torch.full((2,), rate).double()})


def test_the_mean_of_what_was_kept_late_and_the_other_way_stand_in_the_final(problem):
    start, *kept = (at(problem, 10.0**k) for k in (-1.0, -1.2, -1.4, -1.6, -2.0))
    begun, other, third = (at(problem, rate) for rate in (0.5, 0.6, 0.7))
    state = ModelState(
        kept[-1], hyperparameters=problem.moving, contenders=(start, *kept), others=(other, third)
    )
    rule, middle = ng.ModelSearch(), at(problem, 10.0**-1.8)  # of the later half, in decades

    def rates(state):
        return [float(s["learning_rate"][0]) for s in rule.contenders(state)]

    expected = [float(s["learning_rate"][0]) for s in (kept[-1], middle, other)]
    assert rates(state) == pytest.approx(expected)
    warm = replace(state, begun=(begun,))
    expected = [float(s["learning_rate"][0]) for s in (kept[-1], begun, middle)]
    assert rates(warm) == pytest.approx(expected)
    alone = replace(state, contenders=(start, kept[0]))  # of one there is no mean
    expected = [float(s["learning_rate"][0]) for s in (kept[0], other, third)]
    assert rates(alone) == pytest.approx(expected)
