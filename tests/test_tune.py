"""The outer loop, end to end: what it finds, what it counts, how it ends, what it may look at."""

import dataclasses
import doctest
import importlib
import json
import pkgutil
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy.engines import _linearized, _readings, _run
from nongreedy.engines._graph_size import graph_size

from .helpers import classes, tiny_task

RULES = ["auto", "paper"]


def blobs(**changed):
    """Three classes in eight dimensions, learnable, and not within 24 steps at a tiny rate."""
    settings = {
        "model": lambda: nn.Sequential(
            nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)
        ),
        "loss": nn.functional.cross_entropy,
        "train": classes(96, (8,), 0),
        "validation": classes(60, (8,), 1),
        "batch_size": 16,
        **changed,
    }
    return ng.Task(**settings)


def retrained(task, schedule, steps):
    """Mean validation loss of three plain PyTorch runs."""
    runs = [ng.retrain(task, schedule, steps=steps, seed=seed) for seed in range(3)]
    return sum(run.validation_loss for run in runs) / 3


@pytest.mark.parametrize(
    ("rule", "optimizer"),
    [
        ("auto", ng.SGD(ng.Windows(2, initial=1e-5), ng.Windows(1), 5e-4)),
        ("auto", ng.SGD(ng.Windows(2, initial=1e-3), ng.Windows(1), ng.Windows(1))),
        ("paper", ng.SGD(ng.Windows(2), ng.Windows(1), ng.Windows(1))),  # from zero everywhere
    ],
    ids=["auto from 1e-5", "auto from 1e-3", "paper from 0"],
)
def test_finds_a_good_schedule_from_almost_nothing(rule, optimizer):
    task, steps = blobs(), 24
    grid = [ng.Schedule.of(learning_rate=rate) for rate in (1e-5, 0.1, 0.3, 1.0)]
    untrained, *by_hand = (retrained(task, schedule, steps) for schedule in grid)
    good = min(by_hand) + 0.05 * (untrained - min(by_hand))
    result = ng.tune(task, optimizer, steps=steps, outer_steps=6, outer=rule, seed=1)
    assert result.validation_loss < good
    # What the search says, plain PyTorch training on other seeds confirms.
    assert retrained(task, result.schedule, steps) < good
    assert result.schedule.settings["seed"] == 1 and result.history[0].index == 0
    json.dumps([row.to_json() for row in result.history], allow_nan=False)


@pytest.mark.parametrize("rule", RULES)
def test_one_seed_one_result(rule):
    def run(seed):
        optimizer = ng.SGD(ng.Windows(2), ng.Windows(1))
        result = ng.tune(blobs(), optimizer, steps=8, outer_steps=3, outer=rule, seed=seed)
        rows = [{**row.to_json(), "seconds": 0} for row in result.history]
        return result.schedule.to_json(), result.validation_loss, rows, result.cost

    first = run(3)
    torch.manual_seed(99)  # the caller's random state has no say
    assert run(3) == first
    assert run(4) != first


@dataclass
class Counter:
    """Counts what a search computes: gradients, with and without a graph, and derivatives of them."""

    gradients: int = 0
    graphs: int = 0
    curvatures: int = 0

    def watch(self, monkeypatch):
        def counted(owner, name, attribute):
            original = getattr(owner, name)

            def wrapper(*given, **named):
                setattr(self, attribute, getattr(self, attribute) + 1)
                return original(*given, **named)

            monkeypatch.setattr(owner, name, wrapper)

        counted(_run.Run, "unread_gradient", "gradients")
        counted(_run.Run, "linearize", "graphs")
        counted(_linearized.Linearized, "push", "curvatures")
        counted(_linearized.Linearized, "pull_back", "curvatures")
        return self

    @property
    def spent(self):
        """In gradients, as documented: a product with the curvature is worth two."""
        return self.gradients + self.graphs + 2 * self.curvatures


PRICED = [
    ng.Reverse("graphs"),
    ng.Reverse("device"),
    ng.Reverse("checkpoint"),  # its replay are gradients
    ng.Forward(),
    ng.FiniteDifference(),
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("engine", PRICED, ids=repr)
def test_cost_is_what_was_computed(monkeypatch, engine, rule):
    steps, optimizer = 12, ng.SGD(ng.Windows(3), 0.5, ng.Windows(2))
    task = blobs(verify=False)  # which would count gradients of its own, as weighing a graph does
    for way in [optimizer, dataclasses.replace(optimizer, average=ng.ScheduleFreeAverage())]:
        graph_size(ng.Run(task, way, steps))
    count = Counter().watch(monkeypatch)
    result = ng.tune(task, optimizer, steps=steps, outer_steps=3, outer=rule, engine=engine)
    assert result.cost == pytest.approx(count.spent / steps, rel=1e-9)
    costs = [row.cost for row in result.history]
    assert costs == sorted(costs) and costs[0] > 0 and costs[-1] <= result.cost
    assert result.settings["cost"] == pytest.approx(result.cost, abs=1e-3)


def test_a_diverged_run_costs_the_steps_it_took(monkeypatch):
    monkeypatch.setattr(_readings, "_MOST", 1)  # a divergence is found out at once
    task, steps = blobs(loss=lambda output, target: output.square().mean(), verify=False), 60
    optimizer = ng.SGD(ng.Windows(1, initial=0.0, transform=None, bounds=(0, 1e9), outer_step=1e6))
    graph_size(ng.Run(task, optimizer, steps))
    count = Counter().watch(monkeypatch)
    result = ng.tune(task, optimizer, steps=steps, outer_steps=4, outer="paper")
    assert not all(row.accepted for row in result.history)
    # Counted in steps of steps + 1; and the step where it diverged is taken once more, to say why.
    assert result.cost == pytest.approx(count.spent / steps, rel=0.03)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("budget", [1, 4, 7.5, 20, 60])
def test_budget_is_never_exceeded(budget, rule):
    optimizer = ng.SGD(ng.Windows(2), ng.Windows(1))
    result = ng.tune(blobs(), optimizer, steps=6, outer_steps=50, outer=rule, budget=budget)
    assert result.cost <= budget
    assert result.status in (ng.Status.budget_spent, ng.Status.stalled, ng.Status.converged)
    if budget <= 20:
        assert result.status is ng.Status.budget_spent
    assert result.schedule["learning_rate"].isfinite().all()


class Interrupt(ng.Callback):
    """Raises KeyboardInterrupt the n-th time that a hook is called."""

    def __init__(self, hook, nth):
        self.left = nth

        def raising(*given):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

        setattr(self, hook, raising)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("hook", "nth"),
    [("on_inner_step", n) for n in (7, 12, 13, 30, 60)]  # runs have six steps: 12 ends the second
    + [("on_run_start", n) for n in (2, 3, 5, 10)]
    + [("on_outer_step", n) for n in (1, 2)],
)
def test_interruption_returns_the_best_so_far(hook, nth, rule):
    watch, optimizer = Interrupt(hook, nth), ng.SGD(ng.Windows(2), ng.Windows(1))
    settings = {"steps": 6, "outer_steps": 3, "outer": rule}
    result = ng.tune(blobs(), optimizer, callbacks=[watch], **settings)
    assert watch.left == 0 and result.status is ng.Status.interrupted
    assert result.settings["status"] == "interrupted" and result.status.value
    untouched = ng.tune(blobs(), optimizer, **settings)
    assert result.cost < untouched.cost
    assert len(result.history) <= len(untouched.history)
    for mine, whole in zip(result.history, untouched.history, strict=False):
        assert mine.values == whole.values  # up to then, the same search
    assert result.validation_loss < float("inf")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("hook", "nth"), [("on_inner_step", 1), ("on_inner_step", 6), ("on_run_start", 1)]
)
def test_interruption_before_any_result_is_passed_on(hook, nth, rule):
    with pytest.raises(KeyboardInterrupt):
        ng.tune(blobs(), ng.SGD(), steps=6, outer=rule, callbacks=[Interrupt(hook, nth)])


def test_interruption_of_the_final_comparison_keeps_the_search():
    class Last(ng.Callback):
        done = 0

        def on_outer_step(self, row):
            self.done += 1

        def on_inner_step(self, step, steps):
            if self.done == 2:
                raise KeyboardInterrupt

    result = ng.tune(
        blobs(), ng.SGD(), steps=6, outer_steps=2, outer="agreement", callbacks=[Last()]
    )
    assert result.status is ng.Status.interrupted and len(result.history) == 2


def test_other_errors_of_a_callback_end_the_search():
    class Broken(ng.Callback):
        def on_outer_step(self, row):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        ng.tune(blobs(), ng.SGD(), steps=6, callbacks=[Broken()])


@pytest.mark.parametrize("rule", RULES)
def test_callbacks_see_every_step(rule):
    class Log(ng.Callback):
        def __init__(self):
            self.runs, self.inner, self.rows = [], 0, []

        def on_run_start(self, label, steps):
            self.runs.append((label, steps))

        def on_inner_step(self, step, steps):
            assert 0 <= step < steps == 6
            self.inner += 1

        def on_outer_step(self, row):
            self.rows.append(row)

    logs = Log(), Log()
    result = ng.tune(blobs(), ng.SGD(), steps=6, outer_steps=2, outer=rule, callbacks=logs)
    for log in logs:
        assert log.rows == result.history and log.inner == 6 * len(log.runs)
        assert {steps for _, steps in log.runs} == {6}
        assert {label for label, _ in log.runs} == {"plain run", "hypergradient"}


class Secret(torch.utils.data.Dataset):
    """Test data that may be looked at only while they are unlocked."""

    locked = False

    def __len__(self):
        return 6

    def __getitem__(self, index):
        assert not self.locked, "test data were read"
        return torch.ones(8), index % 3


@pytest.mark.parametrize("rule", RULES)
def test_selection_never_sees_test_data(rule):
    task = blobs(test=Secret())
    task.test.source.locked = True
    result = ng.tune(task, ng.SGD(), steps=6, outer_steps=2, outer=rule)
    ng.hypergradient(task, ng.SGD(), steps=6)
    with pytest.raises(AssertionError, match="test data were read"):
        ng.retrain(task, result.schedule, steps=6)  # which is where they belong


def test_divergence_later_in_the_search_keeps_what_was_found():
    # A fixed rate leaves this rule nothing to lower when fresh seeds diverge.
    class Fragile(ng.Callback):
        rows = 0

        def on_outer_step(self, row):
            self.rows += 1

        def on_inner_step(self, step, steps):
            if self.rows == 2:
                raise ng.DivergedError("training loss", step, steps)

    optimizer = ng.SGD(learning_rate=0.1, momentum=ng.Windows(2))
    result = ng.tune(blobs(), optimizer, steps=6, outer="agreement", callbacks=[Fragile()])
    assert result.status is ng.Status.rejected and len(result.history) == 2


def test_epochs_are_passes_over_the_data():
    result = ng.tune(blobs(), ng.SGD(), epochs=1.5, outer_steps=1)
    assert result.settings["steps"] == 9  # 96 examples in batches of 16


# ---- hypergradient ------------------------------------------------------------------------------


def test_hypergradient_at_a_schedule():
    optimizer = ng.SGD(ng.Windows(2, initial=0.1), ng.Windows(1, initial=0.5))
    here = ng.hypergradient(tiny_task(), optimizer, steps=6)
    again = ng.hypergradient(
        tiny_task(), optimizer, steps=6, schedule=ng.Schedule.of(learning_rate=[0.1, 0.1])
    )  # what the schedule leaves out keeps its initial value
    other = ng.hypergradient(
        tiny_task(), optimizer, steps=6, schedule=ng.Schedule.of(learning_rate=[0.1, 0.2])
    )
    assert torch.equal(here.gradients["learning_rate"], again.gradients["learning_rate"])
    assert not torch.equal(here.gradients["learning_rate"], other.gradients["learning_rate"])
    with pytest.raises(ValueError, match=r"'lr'.*Valid names: learning_rate"):
        ng.hypergradient(tiny_task(), optimizer, steps=6, schedule=ng.Schedule.of(lr=0.1))


@pytest.mark.parametrize("engine", [ng.Forward(), ng.Reverse(), ng.FiniteDifference()], ids=repr)
def test_per_step_values_of_another_budget_become_windows(engine):
    short = ng.SGD(ng.PerStep(initial=[0.3, 0.2, 0.1])).hyperparameters(3)
    schedule = ng.Schedule.initial(short)
    found = ng.hypergradient(tiny_task(), ng.SGD(), steps=6, schedule=schedule, engine=engine)
    windows = ng.Schedule.of(learning_rate=[0.3, 0.2, 0.1])
    expected = ng.hypergradient(tiny_task(), ng.SGD(), steps=6, schedule=windows, engine=engine)
    assert torch.equal(found.gradients["learning_rate"], expected.gradients["learning_rate"])


# ---- Documentation that runs --------------------------------------------------------------------

MODULES = [
    module.name
    for module in pkgutil.walk_packages(ng.__path__, "nongreedy.")
    # Most integrations need a package that may be absent: their own tests run their examples.
    if module.name == "nongreedy.integrations.optuna"
    or not any(part in module.name for part in (".cli", ".integrations.", ".__main__"))
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name):
    usual = {"torch": torch, "nn": torch.nn, "ng": ng}
    assert doctest.testmod(importlib.import_module(name), extraglobs=usual).failed == 0


def test_there_are_examples_to_run():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        test.name
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    for public in (
        "Task",
        "SGD",
        "Schedule",
        "Windows",
        "Reverse",
        "Forward",
        "tune",
        "hypergradient",
    ):
        assert any(name.split(".")[-1] == public for name in found), public
