"""Hyperparameters of the loss, of the data and of the initialization, against finite differences."""

import functools

import pytest
import torch
from torch.nn import functional

import nongreedy as ng
from nongreedy import testing
from nongreedy.testing import HYPERPARAMETERS
from nongreedy.testing._tasks import drawn, prepare, training_loss

from .helpers import BASES, CLIPPINGS, MODELS, STEPS, assert_same, classes, tiny_task

SEVERAL = ["label_smoothing", "augmentation_strength", "initial_scales"]
KINDS = [*HYPERPARAMETERS, "several"]


ENGINES = [
    ng.Forward(chunk=7), ng.Reverse("device"), ng.Reverse("checkpoint"),
    ng.Greedy(mu=1.0, every=None),
]  # fmt: skip
JUDGE = ng.FiniteDifference(step=1e-4, order=4, floor=0.1)
SETTINGS = {"steps": STEPS, "seed": 6, "dtype": torch.float64}


def task_of(kind, model, **changed):
    """A task with one kind of hyperparameter, three of which one is fixed, or all."""
    if kind == "several":
        made = {name: HYPERPARAMETERS[name](model) for name in SEVERAL}
        changed = {"hyperparameters": {**made, "augmentation_strength": 0.2}, **changed}
    names = {"several": SEVERAL, "all": HYPERPARAMETERS}.get(kind, [kind])
    return tiny_task(model, names, **changed)


@functools.cache
def found(kind, model, engine):
    optimizer = ng.SGD(**BASES["windows"], **CLIPPINGS["clip_norm"])
    return ng.hypergradient(task_of(kind, model), optimizer, engine=engine, **SETTINGS)


# Each kind by itself, and on every other model all of them at once.
CASES = [
    *((kind, model) for kind in KINDS for model in ("mlp", "conv_net")),
    *(("all", model) for model in MODELS),
]


# The engines vary fastest, so that those that share a judge stand next to each other.
@pytest.mark.parametrize("engine", ENGINES, ids=repr)
@pytest.mark.parametrize(("kind", "model"), CASES)
def test_hypergradients_match_finite_differences(engine, kind, model):
    judge, reverse, this = (found(kind, model, e) for e in (JUDGE, ENGINES[1], engine))
    given = task_of(kind, model).learnable
    learned = {name for name, basis in given.items() if not isinstance(basis, float)}
    assert this.gradients.keys() == {*BASES["windows"], *learned}
    assert_same(this.gradients, judge.gradients, 1e-6)
    assert_same(this.gradients, reverse.gradients, 1e-10)
    assert all(this.gradients[name].abs().max() > 1e-6 for name in learned)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("engine", ENGINES[:2], ids=repr)
def test_a_penalty_of_every_single_weight(engine, model):
    count = sum(p.numel() for p in MODELS[model][0]().parameters())
    penalties = ng.Variable(initial=drawn(count, seed=5) - 3)
    task = tiny_task(model, ["weight_penalties"], hyperparameters={"weight_penalties": penalties})
    optimizer = ng.SGD(learning_rate=0.3, momentum=0.5, weight_decay=0.01)
    given = [
        ng.hypergradient(task, optimizer, engine=e, **SETTINGS).gradients
        for e in (engine, ENGINES[1])
    ]
    assert_same(*given, 1e-10)
    run = ng.Run(task, optimizer, STEPS, seed=6, dtype=torch.float64)
    start = ng.Schedule.initial({**optimizer.hyperparameters(STEPS), **task.hyperparameters(STEPS)})
    slopes = testing.Judge(JUDGE).slopes(run, start, "weight_penalties")
    assert not slopes.entrywise and slopes.resolved
    assert slopes.error(given[0]["weight_penalties"]) < 1e-6


@pytest.mark.parametrize("store", ["device", "checkpoint"])
def test_a_hundred_thousand_weights_of_examples(store):
    count = 100_000
    task = ng.Task(
        functools.partial(torch.nn.Linear, 4, 3), training_loss,
        classes(count, (4,), seed=1), classes(50, (4,), seed=2), batch_size=count // 4,
        hyperparameters={"example_weights": ng.Variable(initial=drawn(count))},
        validation_loss=functional.cross_entropy,
    )  # fmt: skip
    optimizer = ng.SGD(learning_rate=0.3, momentum=0.5)
    schedule = ng.Schedule.initial(
        {**optimizer.hyperparameters(STEPS), **task.hyperparameters(STEPS)}
    )
    run = ng.Run(task, optimizer, STEPS, seed=6, dtype=torch.float64)
    gradient = ng.Reverse(store).hypergradient(run, schedule, ["example_weights"]).gradients
    assert int((gradient["example_weights"] != 0).sum()) == count  # each acts in an epoch
    slopes = testing.Judge(JUDGE).slopes(run, schedule, "example_weights")
    assert slopes.resolved and slopes.error(gradient["example_weights"]) < 1e-6


def test_only_scalars_over_time_have_per_step_hypergradients():
    per_step = found("several", "mlp", ENGINES[1]).per_step
    assert per_step.keys() == {*BASES["windows"], "label_smoothing"}
    gradients = found("several", "mlp", ENGINES[1]).gradients
    torch.testing.assert_close(
        gradients["label_smoothing"].sum(), per_step["label_smoothing"].sum()
    )


def test_random_directions_estimate_them_too():
    exact = found("several", "mlp", ENGINES[1]).gradients
    optimizer = ng.SGD(**BASES["windows"], **CLIPPINGS["clip_norm"])
    estimate = ng.hypergradient(
        task_of("several", "mlp"), optimizer, engine=ng.RandomDirections(200), **SETTINGS
    )
    for name, gradient in exact.items():
        score = (estimate.gradients[name] - gradient) / estimate.standard_error[name]
        assert score.abs().max() < 4, name


@pytest.mark.parametrize("kind", KINDS)
def test_tuning_moves_them_downhill_and_the_schedule_keeps_every_value(kind, tmp_path):
    task, optimizer = task_of(kind, "mlp"), ng.SGD(learning_rate=0.3)
    result = ng.tune(task, optimizer, steps=12, outer_steps=1, outer="agreement")
    first = result.history[0]
    # This rule accepts what lowers the loss on the same seed.
    assert first.accepted
    for name, hyper in task.hyperparameters(12).items():
        assert not hyper.learned or first.values[name] != hyper.initial.tolist()
    loaded = ng.Schedule.load(result.schedule.save(tmp_path / "schedule.json"))
    for name, curve in result.schedule.curves.items():
        assert torch.equal(loaded[name], curve.coefficients)
        assert loaded.curves[name].owner == curve.owner
        assert torch.equal(loaded.values(7)[name], result.schedule.values(7)[name])


@pytest.mark.parametrize("kind", KINDS)
def test_retraining_applies_them_as_the_run_does(kind):
    task, optimizer = task_of(kind, "mlp"), ng.SGD(learning_rate=0.3)
    table = {**optimizer.hyperparameters(20), **task.hyperparameters(20)}
    schedule = ng.Schedule.initial(table)
    run = ng.Run(task, optimizer, 20, seed=5)
    ours = ng.Reverse().rollout(run, schedule).outcome.loss
    again = ng.retrain(task, schedule, steps=20, seed=5, optimizer=optimizer)
    assert again.validation_loss == pytest.approx(ours, rel=1e-5)
    # Where the schedule leaves them out, the task's own initial values hold.
    short = ng.Schedule.initial(optimizer.hyperparameters(20))
    same = ng.retrain(task, short, steps=20, seed=5, optimizer=optimizer)
    assert same.validation_loss == again.validation_loss


def test_an_online_run_moves_those_of_loss_and_data():
    task = task_of(
        "label_smoothing", "mlp", hyperparameters={"label_smoothing": ng.Constant(initial=0.3)}
    )
    result = ng.train_online(
        task, ng.SGD(learning_rate=0.3), steps=12, dtype=torch.float64,
        engine=ng.Greedy(mu=1.0), outer_learning_rate=0.5,
    )  # fmt: skip
    assert result.schedule["label_smoothing"].unique().numel() == 12
    run = ng.Run(task, ng.SGD(learning_rate=0.3), 12, dtype=torch.float64)
    again = ng.Reverse().rollout(run, result.schedule).outcome.loss
    assert again == pytest.approx(result.validation_loss, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("example_weights", "moves one number"),
        ("several", "cannot change its own initialization"),
    ],
)
def test_an_online_run_refuses_others(kind, words):
    with pytest.raises(ValueError, match=words):
        ng.train_online(task_of(kind, "mlp"), ng.SGD(), steps=3, engine=ng.Greedy(mu=0.5))


def test_an_attached_schedule_leaves_the_tasks_hyperparameters_alone():
    task = task_of("several", "mlp")
    table = {**ng.SGD(learning_rate=0.3).hyperparameters(4), **task.hyperparameters(4)}
    torch_optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    ng.Schedule.initial(table).attach(torch_optimizer, 4)
    assert torch_optimizer.param_groups[0]["lr"] == 0.3


def test_a_variable_takes_no_memory_per_step():
    images = ng.Variable(initial=torch.zeros(100, 100))
    schedule = ng.Schedule.initial(
        tiny_task(hyperparameters={"images": images}, prepare=prepare).hyperparameters()
    )
    held = schedule.tensors(10**6, torch.device("cpu"), torch.float32)["images"]
    assert held.shape == (10**6, 100, 100) and held.untyped_storage().nbytes() == 4 * 10**4


ONE = {"smoothing": ng.Constant(initial=0.1)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hyperparameters": ONE}, "none of its functions .* has an argument `hypers`"),
        ({"hyperparameters": ONE, "loss": training_loss}, "Pass validation_loss="),
        (
            {"hyperparameters": {"augmentation_strength": ng.Windows(2)}, "prepare": prepare},
            "augmentation_strength has no initial value",
        ),
        (
            {"hyperparameters": {"augmentation_strength": ng.Windows(2, initial=1.0, transform="log")},
             "prepare": prepare},
            "Narrow the bounds",
        ),
    ],
    ids=["unused", "validation", "initial", "log"],
)  # fmt: skip
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        tiny_task(**settings)


def test_a_name_that_the_optimizer_has_is_refused():
    task = tiny_task(
        hyperparameters={"momentum": ng.Constant(initial=0.1)},
        prepare=lambda x, y, hypers: (x * hypers["momentum"], y),
    )
    with pytest.raises(ValueError, match="both have a hyperparameter called 'momentum'"):
        ng.hypergradient(task, ng.SGD(), steps=3)


@pytest.mark.parametrize(
    "lost",
    [lambda p: {}, lambda p: {n: w.reshape(-1) for n, w in p.items()}],
    ids=["name", "shape"],
)
def test_an_initialization_must_return_what_it_was_given(lost):
    task = tiny_task(initialize=lambda parameters: lost(parameters))
    with pytest.raises(ValueError, match="`initialize` must return every parameter"):
        ng.Run(task, ng.SGD(), 3).initial()


def test_a_variable_needs_values():
    for empty in (None, torch.zeros(0)):
        with pytest.raises(ValueError, match="needs initial values"):
            ng.Variable(initial=empty)
    with pytest.raises(ValueError, match="one number per step"):
        ng.SGD(ng.Variable(initial=[0.1, 0.2]))
    assert repr(ng.Variable(initial=torch.zeros(2, 3))) == "Variable(shape=(2, 3))"


def test_there_is_no_batch_at_the_initialization():
    task = tiny_task(initialize=lambda parameters, hypers: hypers.index)
    with pytest.raises(ValueError, match="no batch at the initialization"):
        ng.Run(task, ng.SGD(), 3).initial()


def test_validation_data_do_not_pass_through_prepare():
    # Else the outer loss would be of data that the hyperparameters invented.
    def emptied(inputs, targets):
        return inputs * 0, targets

    loss = functional.cross_entropy
    task = tiny_task(prepare=emptied, validation=classes(9, (4,), seed=2))
    run = ng.Run(task, ng.SGD(), 3)
    plain = ng.Run(tiny_task(loss=loss), ng.SGD(), 3)
    start = run.initial()[0]
    assert run.outer_loss(start) == plain.outer_loss(start)
    assert run.gradient(start, 0)[0] != plain.gradient(start, 0)[0]


@pytest.mark.parametrize("model", ["mlp", "conv_net"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_in_integers_agrees(kind, model):
    # The momenta 0.5 and 0.3 are fractions, so that both runs have the same hyperparameters.
    optimizer = ng.SGD(**BASES["windows"])
    ours, stored = (
        ng.hypergradient(task_of(kind, model), optimizer, engine=engine, **SETTINGS)
        for engine in (ng.Reversible(), ng.Reverse())
    )
    assert_same(ours.gradients, stored.gradients, 1e-9)
