"""What no gradient reaches, searched beside what is differentiated."""

import dataclasses
import math
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.search import Budget, Objective

SGD = ng.SGD(ng.Linear(3), momentum=0.9, weight_decay=0.0)


def data(count=240, size=6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, size, generator=draw)
    y = (x[:, 0] + 0.5 * x[:, 1] > 0).long()
    return (x[: count // 2], y[: count // 2]), (x[count // 2 :], y[count // 2 :])


def made(batch_size=16, model=lambda: nn.Linear(6, 2), **settings):
    train, validation = data()
    return ng.Task(
        model, functional.cross_entropy, train, validation, batch_size=batch_size, **settings
    )


BATCH = ng.GradientFree(16, bounds=(4, 40), integer=True)
EPOCHS = ng.GradientFree(2, (1, 5), integer=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((64, (1, 32)), "between finite bounds"),
        ((4, (8, 2)), "between finite bounds"),
        ((4, (0, math.inf)), "between finite bounds"),
        ((math.nan, (0, 1)), "between finite bounds"),
        ((2.5, (1, 9), True), "whole"),
        ((2, (1.5, 9), True), "whole"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        ng.GradientFree(*arguments)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ng.GradientFree(64, (16, 256)), ("log", math.log10(4))),
        (ng.GradientFree(4, (2, 6)), (None, 1.0)),
        (ng.GradientFree(0, (-8, 8)), (None, 4.0)),
        (ng.GradientFree(4, (2, 200), transform=None, outer_step=3), (None, 3)),
    ],
)
def test_its_coordinate_is_one_of_ratios_where_bounds_are_far_apart(choice, expected):
    assert choice.coordinate == expected


def test_batches_beyond_the_data_are_refused_before_anything_is_run():
    with pytest.raises(ng.DataError, match="batch_size=200 is larger"):
        made(ng.GradientFree(16, (4, 200), integer=True))
    with pytest.raises(ValueError, match="integer=True"):
        made(ng.GradientFree(16, (4, 60)))


def test_a_task_stands_at_a_value_and_moves_to_others():
    task = made(BATCH)
    assert (task.batch_size, task.steps_per_epoch) == (16, 7)
    moved = task.with_values(batch_size=40)
    assert (moved.batch_size, moved.steps_per_epoch) == (40, 3)
    assert task.batch_size == 16
    with pytest.raises(ValueError, match=r"'batchsize' is no GradientFree.*batch_size"):
        task.with_values(batchsize=40)
    with pytest.raises(ValueError, match="bounds"):
        task.with_values(batch_size=50)


@pytest.mark.parametrize("engine", [ng.Reverse(), ng.Forward()])
def test_at_a_value_everything_is_as_with_a_plain_number(engine):
    settings = {"steps": 9, "engine": engine, "dtype": torch.float64}
    free = ng.hypergradient(made(BATCH), SGD, **settings)
    plain = ng.hypergradient(made(16), SGD, **settings)
    assert torch.equal(free.gradients["learning_rate"], plain.gradients["learning_rate"])
    assert "batch_size" not in free.gradients


def test_model_and_augment_receive_what_they_have_arguments_for():
    seen = set()

    def model(width):
        return nn.Sequential(nn.Linear(6, width), nn.Tanh(), nn.Linear(width, 2))

    def augment(inputs, source, cut):
        seen.add(cut)
        return inputs * (torch.arange(6) >= cut)

    whole = {"integer": True}
    choices = {
        "width": ng.GradientFree(3, (2, 8), **whole),
        "cut": ng.GradientFree(1, (0, 5), **whole),
    }
    task = made(model=model, augment=augment, hyperparameters=choices)
    assert task.network(0)[0].out_features == 3
    assert task.with_values(width=5).network(0)[0].out_features == 5
    moved = task.with_values(cut=4)
    inputs, _ = moved.plan.batch(0, 0, torch.device("cpu"), torch.float32)
    assert seen == {4} and not inputs[:, :4].any() and inputs[:, 4:].all()


def test_a_value_that_nothing_receives_is_refused():
    with pytest.raises(ValueError, match="none of its functions"):
        made(hyperparameters={"width": ng.GradientFree(3, (2, 8), integer=True)})


def test_functions_with_hypers_receive_it_like_any_other():
    def loss(output, target, hypers):
        return functional.cross_entropy(output, target) * (1 + 0 * hypers["cut"])

    task = ng.Task(
        lambda: nn.Linear(6, 2), loss, *data(), batch_size=16,
        hyperparameters={"cut": ng.GradientFree(3, (0, 8))},
        validation_loss=functional.cross_entropy,
    )  # fmt: skip
    found = ng.hypergradient(task, SGD, steps=5, engine=ng.Reverse())
    assert list(found.gradients) == ["learning_rate"]


def problem_of(task, **length):
    return ng.Problem.of(task, SGD, **length)


def at(problem, **values):
    tensors = {n: torch.tensor([float(v)], dtype=torch.float64) for n, v in values.items()}
    return problem.initial.with_coefficients(tensors)


@pytest.mark.parametrize(
    ("length", "values", "steps", "price"),
    [
        ({"steps": 14}, {"batch_size": 16}, 14, 1.0),
        ({"steps": 14}, {"batch_size": 32}, 14, 2.0),
        ({"epochs": 2}, {"batch_size": 32}, 6, 6 * 32 / (14 * 16)),
        ({"epochs": EPOCHS}, {"epochs": 5}, 35, 2.5),
        (
            {"epochs": EPOCHS},
            {"epochs": 1, "batch_size": 40}, 3, 120 / (14 * 16),
        ),
    ],
)  # fmt: skip
def test_a_run_costs_the_gradients_that_it_computes(length, values, steps, price):
    problem = problem_of(made(BATCH), **length)
    objective = Objective(problem, ng.Reverse(), budget=Budget(40))
    schedule = at(problem, **values)
    rollout = objective.rollout(schedule, 0, keep=True)
    assert rollout.run.steps == steps == len(rollout.losses)
    assert objective.cost == pytest.approx(price) == objective.price(schedule)
    sweep = ng.Reverse().sweep_cost(rollout.run, schedule, ["learning_rate"])
    objective.differentiate(rollout)
    assert objective.cost == pytest.approx(price * (1 + sweep))


def test_the_run_is_that_of_a_task_with_these_numbers():
    problem = problem_of(made(BATCH), epochs=2)
    rollout = Objective(problem, ng.Reverse()).rollout(at(problem, batch_size=32), 3)
    plain = problem_of(made(32), epochs=2)
    other = Objective(plain, ng.Reverse()).rollout(plain.initial, 3)
    assert rollout.losses == other.losses
    assert rollout.outcome == other.outcome


def test_a_schedule_for_another_value_is_not_run_with_this_one():
    task = made(BATCH)
    schedule = at(problem_of(task, steps=9), batch_size=32)
    with pytest.raises(ValueError, match=r"batch_size=32, but the task has 16.*with_values"):
        ng.retrain(task, schedule, steps=9)
    with pytest.raises(ValueError, match="batch_size=32, but the task has 16"):
        ng.hypergradient(task, SGD, steps=9, schedule=schedule)
    assert ng.retrain(task.with_values(batch_size=32), schedule, steps=9).validation_loss > 0


def test_a_schedule_with_it_is_saved_loaded_and_attached(tmp_path):
    schedule = at(problem_of(made(BATCH), steps=9), batch_size=32)
    loaded = ng.Schedule.load(schedule.save(tmp_path / "schedule.json"))
    assert loaded == schedule and float(loaded["batch_size"]) == 32
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    loaded.attach(sgd, total_steps=9)
    assert sgd.param_groups[0]["lr"] == pytest.approx(float(loaded["learning_rate"][0]))


@pytest.mark.parametrize("outer", ["agreement", "paper"])
def test_rules_that_need_derivatives_refuse_it(outer):
    with pytest.raises(ValueError, match="batch_size has none"):
        ng.tune(made(BATCH), SGD, steps=9, outer=outer)


def test_lengths_that_a_schedule_cannot_have_are_refused_first():
    long = dataclasses.replace(SGD, learning_rate=ng.Windows(9))
    with pytest.raises(ValueError, match=r"batch_size=40.*9 coefficients"):
        ng.tune(made(BATCH), long, epochs=2)
    each = dataclasses.replace(SGD, learning_rate=ng.PerStep())
    with pytest.raises(ValueError, match="one per step"):
        ng.tune(made(BATCH), each, epochs=2)


def test_an_optimizers_own_setting_needs_a_basis():
    with pytest.raises(ValueError, match="momentum of SGD has a derivative"):
        ng.tune(made(), ng.SGD(momentum=ng.GradientFree(0.5, (0, 0.9))), steps=9)


def test_a_comparison_refuses_it():
    with pytest.raises(ValueError, match="fix it by a number"):
        ng.compare(made(BATCH), SGD, steps=9, budget=8)


BEST = 4


def planted(start):
    """Images whose labels are seen once the right number of columns is cut off: no slope says so."""

    def augment(inputs, source, shift):
        return torch.roll(inputs, int(shift) - BEST, 1)

    choice = ng.GradientFree(start, (0, 8), integer=True, outer_step=1)
    draw = torch.Generator().manual_seed(1)
    signal = torch.tensor([0.0, 0.5, 1.0, 2.0, 1.0, 0.5, 0, 0, 0, 0, 0, 0])
    x = torch.randn(400, 12, generator=draw)
    y = (x @ signal > 0).long()
    return ng.Task(
        lambda: nn.Linear(12, 2), functional.cross_entropy, (x[:200], y[:200]), (x[200:], y[200:]),
        batch_size=20, augment=augment, hyperparameters={"shift": choice},
    )  # fmt: skip


@pytest.mark.parametrize("start", [1, 2, 6])
def test_a_search_finds_what_no_gradient_tells(start):
    result = ng.tune(planted(start), SGD, steps=30, budget=50, progress=False)
    assert float(result.schedule["shift"]) == BEST
    assert result.task is not None and result.task.choices["shift"].value == BEST
    assert result.gain is not None and result.gain.loss > 0
    assert result.cost <= 50
    assert {row.values["shift"][0] for row in result.history} >= {BEST}


def test_a_search_of_batch_size_and_epochs_keeps_to_its_budget_and_says_how_to_train():
    result = ng.tune(made(BATCH), SGD, epochs=EPOCHS, budget=40, progress=False)
    assert result.cost <= 40
    task, settings = result.task, result.settings
    assert task is not None
    assert settings["batch_size"] == float(result.schedule["batch_size"]) == task.batch_size
    assert settings["steps"] == task.steps_for(float(result.schedule["epochs"]), None)
    again = ng.retrain(task, result.schedule, steps=settings["steps"], optimizer=result.optimizer)
    assert again.validation_loss == pytest.approx(result.validation_loss, rel=0.2)


class Stop(ng.Callback):
    def __init__(self, after):
        self.left = after

    def on_run_start(self, label, steps):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("killed")


def test_the_states_of_two_schedules_are_held_at_most(monkeypatch):
    alive, held, original = weakref.WeakKeyDictionary(), [], ng.Reverse.rollout

    def watched(engine, run, schedule, **given):
        rollout = original(engine, run, schedule, **given)
        if rollout.trajectory is not None:
            alive[rollout.trajectory] = schedule.identity
        held.append(len(set(alive.values())))
        return rollout

    monkeypatch.setattr(ng.Reverse, "rollout", watched)
    task = planted(1)
    ng.tune(task, SGD, steps=30, budget=60, engine=ng.Reverse("device"), progress=False)
    assert max(held) == 2


def searched(study=None, **settings):
    return ng.tune(planted(2), SGD, steps=20, budget=24, study=study, progress=False, **settings)


@pytest.fixture(scope="module")
def undisturbed():
    return searched()


@pytest.mark.parametrize("after", [4, 9])
def test_a_killed_search_goes_on_to_the_same_bits(tmp_path, undisturbed, after):
    with pytest.raises(RuntimeError, match="killed"):
        searched(tmp_path / "study.db", callbacks=[Stop(after)])
    again = searched(tmp_path / "study.db")
    assert again.schedule == undisturbed.schedule
    assert again.validation_loss == undisturbed.validation_loss
    assert again.cost == undisturbed.cost


def test_a_search_starts_from_a_schedule_that_has_it(undisturbed):
    again = ng.tune(planted(7), SGD, steps=20, budget=12, start=undisturbed, progress=False)
    assert float(again.schedule["shift"]) == BEST


def test_learning_rates_go_along_with_the_batch():
    objective = Objective(problem_of(made(BATCH), epochs=4), ng.Reverse(), budget=Budget(30))
    rule = ng.ModelSearch(averaging=False)
    state = rule.init(objective.problem.hyperparameters, objective.steps)
    state, _ = rule.step(state, objective)
    rates = {
        int(entry.schedule["batch_size"]): float(entry.schedule["learning_rate"].max())
        for entry in objective.evaluated.values()
    }
    peak = float(state.contenders[0]["learning_rate"].max())
    assert len(rates) > 1
    for size, rate in rates.items():
        if size != 16:
            assert rate == pytest.approx(min(peak * size / 16, 10.0))
