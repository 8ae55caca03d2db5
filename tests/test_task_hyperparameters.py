"""Hyperparameters of the loss, of the data and of the initialization, against finite differences."""

import functools

import pytest
import torch
from torch.nn import functional

import nongreedy as ng

from .helpers import BASES, CLIPPINGS, MODELS, STEPS, assert_same, classes, tiny_task

COUNT = 14  # training examples of a tiny task


def drawn(*shape, scale=1.0, seed=3):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def smoothed(output, target, hypers):
    chances, log = functional.one_hot(target, 3).to(output.dtype), output.log_softmax(1)
    return (
        -((1 - hypers["smoothing"]) * chances * log + hypers["smoothing"] / 3 * log).sum(1).mean()
    )


def weighted(output, target, hypers):
    losses = functional.cross_entropy(output, target, reduction="none")
    return (losses * hypers["weights"][hypers.index].sigmoid()).mean()


def penalized(output, target, hypers):
    penalties = [
        (scale.exp() * weight.square()).sum()
        for scale, weight in zip(hypers["penalty"], hypers.parameters.values(), strict=True)
    ]
    return functional.cross_entropy(output, target) + sum(penalties)


def decayed(output, target, hypers):
    flat = torch.cat([weight.reshape(-1) for weight in hypers.parameters.values()])
    return functional.cross_entropy(output, target) + (hypers["decay"].exp() * flat**2).sum()


def judged_by_a_network(output, target, hypers):
    losses = functional.cross_entropy(output, target, reduction="none")
    hidden = torch.tanh(losses[:, None] * hypers["first"])
    return (losses + hidden @ hypers["second"]).mean()


def invented(inputs, targets, hypers):
    return inputs + hypers["images"][targets], targets


def noisy(inputs, targets, hypers):
    return inputs + hypers["strength"] * torch.randn_like(inputs), targets


def scaled(parameters, hypers):
    return {
        name: scale.exp() * weight
        for (name, weight), scale in zip(parameters.items(), hypers["scale"], strict=True)
    }


def sizes(model):
    return [p.numel() for p in MODELS[model][0]().parameters() if p.requires_grad]


# Name -> (model -> hyperparameters, functions of the task that take them).
KINDS = {
    "label_smoothing": (
        lambda model: {"smoothing": ng.Windows(2, initial=(0.1, 0.3))},
        {"loss": smoothed},
    ),
    "example_weights": (
        lambda model: {"weights": ng.Variable(initial=drawn(COUNT))},
        {"loss": weighted},
    ),
    "group_penalties": (
        lambda model: {"penalty": ng.Variable(initial=drawn(len(sizes(model))) - 3)},
        {"loss": penalized},
    ),
    "weight_penalties": (
        lambda model: {"decay": ng.Variable(initial=drawn(sum(sizes(model))) - 3)},
        {"loss": decayed},
    ),
    "loss_network": (
        lambda model: {
            "first": ng.Variable(initial=drawn(4)),
            "second": ng.Variable(initial=drawn(4, seed=4)),
        },
        {"loss": judged_by_a_network},
    ),
    "training_images": (
        lambda model: {"images": ng.Variable(initial=drawn(3, *MODELS[model][1]))},
        {"prepare": invented},
    ),
    "augmentation_strength": (
        lambda model: {"strength": ng.Linear(2, initial=(0.1, 0.4))},
        {"prepare": noisy},
    ),
    "initial_scales": (
        lambda model: {"scale": ng.Variable(initial=drawn(len(sizes(model)), scale=0.3))},
        {"initialize": scaled},
    ),
    "all_at_once": (
        lambda model: {
            "smoothing": ng.Windows(2, initial=(0.1, 0.3)),
            "strength": 0.2,
            "scale": ng.Variable(initial=drawn(len(sizes(model)), scale=0.3)),
        },
        {"loss": smoothed, "prepare": noisy, "initialize": scaled},
    ),
}
ENGINES = [
    ng.Forward(chunk=7), ng.Reverse("device"), ng.Reverse("checkpoint"),
    ng.Greedy(mu=1.0, every=None),
]  # fmt: skip
JUDGE = ng.FiniteDifference(step=1e-4, order=4, floor=0.1)
SETTINGS = {"steps": STEPS, "seed": 6, "dtype": torch.float64}


def task_of(kind, model, **changed):
    made, functions = KINDS[kind]
    given = {"hyperparameters": made(model), "validation_loss": functional.cross_entropy}
    return tiny_task(model, **{**given, **functions, **changed})


@functools.cache
def found(kind, model, engine):
    optimizer = ng.SGD(**BASES["windows"], **CLIPPINGS["clip_norm"])
    return ng.hypergradient(task_of(kind, model), optimizer, engine=engine, **SETTINGS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_hypergradients_match_finite_differences(engine, kind, model):
    judge, reverse, this = (found(kind, model, e) for e in (JUDGE, ENGINES[1], engine))
    learned = {n for n, given in KINDS[kind][0](model).items() if not isinstance(given, float)}
    assert this.gradients.keys() == {*BASES["windows"], *learned}
    assert_same(this.gradients, judge.gradients, 1e-6)
    assert_same(this.gradients, reverse.gradients, 1e-10)
    assert all(this.gradients[name].abs().max() > 1e-6 for name in learned)


@pytest.mark.parametrize("kind", KINDS)
def test_adamw_too(kind):
    optimizer = ng.AdamW(ng.Windows(2, initial=0.05), epsilon=0.03)
    engines = (*ENGINES, JUDGE)
    *ours, judge = (
        ng.hypergradient(task_of(kind, "mlp"), optimizer, engine=e, **SETTINGS) for e in engines
    )
    for this in ours:
        assert_same(this.gradients, judge.gradients, 1e-6)


def test_only_scalars_over_time_have_per_step_hypergradients():
    per_step = found("all_at_once", "mlp", ENGINES[1]).per_step
    assert per_step.keys() == {*BASES["windows"], "smoothing"}
    gradients = found("all_at_once", "mlp", ENGINES[1]).gradients
    torch.testing.assert_close(gradients["smoothing"].sum(), per_step["smoothing"].sum())


def test_random_directions_estimate_them_too():
    exact = found("all_at_once", "mlp", ENGINES[1]).gradients
    optimizer = ng.SGD(**BASES["windows"], **CLIPPINGS["clip_norm"])
    estimate = ng.hypergradient(
        task_of("all_at_once", "mlp"), optimizer, engine=ng.RandomDirections(200), **SETTINGS
    )
    for name, gradient in exact.items():
        score = (estimate.gradients[name] - gradient) / estimate.standard_error[name]
        assert score.abs().max() < 4, name


@pytest.mark.parametrize("kind", KINDS)
def test_tuning_moves_them_downhill_and_the_schedule_keeps_every_value(kind, tmp_path):
    task, optimizer = task_of(kind, "mlp"), ng.SGD(learning_rate=0.3)
    result = ng.tune(task, optimizer, steps=12, outer_steps=1)
    first = result.history[0]
    # The default rule accepts what lowers the loss on the same seed.
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
        "label_smoothing", "mlp", hyperparameters={"smoothing": ng.Constant(initial=0.3)}
    )
    result = ng.train_online(
        task, ng.SGD(learning_rate=0.3), steps=12, dtype=torch.float64,
        engine=ng.Greedy(mu=1.0), outer_learning_rate=0.5,
    )  # fmt: skip
    assert result.schedule["smoothing"].unique().numel() == 12
    run = ng.Run(task, ng.SGD(learning_rate=0.3), 12, dtype=torch.float64)
    again = ng.Reverse().rollout(run, result.schedule).outcome.loss
    assert again == pytest.approx(result.validation_loss, rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("example_weights", "moves one number"),
        ("all_at_once", "cannot change its own initialization"),
    ],
)
def test_an_online_run_refuses_others(kind, words):
    with pytest.raises(ValueError, match=words):
        ng.train_online(task_of(kind, "mlp"), ng.SGD(), steps=3, engine=ng.Greedy(mu=0.5))


def test_an_attached_schedule_leaves_the_tasks_hyperparameters_alone():
    task = task_of("all_at_once", "mlp")
    table = {**ng.SGD(learning_rate=0.3).hyperparameters(4), **task.hyperparameters(4)}
    torch_optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    ng.Schedule.initial(table).attach(torch_optimizer, 4)
    assert torch_optimizer.param_groups[0]["lr"] == 0.3


def test_a_variable_takes_no_memory_per_step():
    images = ng.Variable(initial=torch.zeros(100, 100))
    schedule = ng.Schedule.initial(
        tiny_task(hyperparameters={"images": images}, prepare=invented).hyperparameters()
    )
    held = schedule.tensors(10**6, torch.device("cpu"), torch.float32)["images"]
    assert held.shape == (10**6, 100, 100) and held.untyped_storage().nbytes() == 4 * 10**4


ONE = {"smoothing": ng.Constant(initial=0.1)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hyperparameters": ONE}, "none of its functions .* has an argument `hypers`"),
        ({"hyperparameters": ONE, "loss": smoothed}, "Pass validation_loss="),
        (
            {"hyperparameters": {"strength": ng.Windows(2)}, "prepare": noisy},
            "strength has no initial value",
        ),
        (
            {"hyperparameters": {"strength": ng.Windows(2, initial=1.0, transform="log")},
             "prepare": noisy},
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
