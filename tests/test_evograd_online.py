"""EvoGrad as an engine and in online runs, and what can go wrong."""

import math

import pytest
import torch

import nongreedy as ng
from nongreedy.engines import Gaussian, Opposite, Rademacher

from .helpers import assert_same, at, classes
from .own_hypers import drawn, task_of, weighted
from .test_evograd import DOUBLE, looked, noise_of, started

SMOOTHING = {"smoothing": ng.Constant(initial=0.3)}

# ---- As an engine, and online --------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["after", "before"])
@pytest.mark.parametrize("every", [1, 2])
def test_per_step_hypergradients_are_those_of_each_state(every, order):
    task, steps = task_of("label_smoothing", "conv_net"), 5
    engine = ng.EvoGrad(Rademacher(copies=3), every=every, order=order, batch=4)
    found = ng.hypergradient(task, ng.SGD(0.3), engine=engine, steps=steps, **DOUBLE)
    run, values, _ = started(task, steps)
    state, per_step = run.initial(at(values, 0)), torch.zeros(steps).double()
    with run.isolated():
        for t in range(steps):
            following, _ = run.step(state, at(values, t), t)
            if every == 1 or t in (0, 2, 4):
                theta = (state if order == "before" else following)[0]
                per_step[t] = looked(engine, run, values, theta, t)[1]["smoothing"]
            state = following
    assert_same(found.per_step, {"smoothing": per_step}, 1e-12)
    projected = ng.Windows(2).project(per_step, steps)
    assert_same(found.gradients, {"smoothing": projected}, 1e-12)
    assert found.value == run.outer_loss(state[0]).loss


def online(kind, engine, steps=6, **changed):
    settings = {"outer_learning_rate": 0.5, **DOUBLE, **changed}
    own = {"hyperparameters": SMOOTHING} if kind == "label_smoothing" else {}
    task = settings.pop("task", None) or task_of(kind, "mlp", **own)
    optimizer = settings.pop("optimizer", ng.SGD(learning_rate=0.3))
    return ng.train_online(task, optimizer, steps=steps, engine=engine, **settings)


FOLLOWED = [
    ng.EvoGrad(), ng.EvoGrad(order="before"), ng.EvoGrad(every=2), ng.EvoGrad(every=2, order="before"),
    ng.EvoGrad(Gaussian(copies=4, antithetic=True)), ng.Greedy(),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["label_smoothing", "example_weights", "loss_network"])
@pytest.mark.parametrize("engine", FOLLOWED, ids=repr)
def test_an_online_run_equals_the_loop_by_hand(engine, kind):
    result = online(kind, engine)
    own = {"hyperparameters": SMOOTHING} if kind == "label_smoothing" else {}
    task = task_of(kind, "mlp", **own)
    run, values, _ = started(task, steps=6)
    learn, now = list(task.learnable), at(values, 0)
    state, probes = run.initial(now), engine.probes(run)
    sensitivity, path = engine.sensitivity(run, learn), []
    with run.isolated():
        for t in range(6):
            now["step"] = values["step"][t]
            turn = probes.after(t)
            if turn and engine.probes_before:
                found = sensitivity.probe(probes, state, now, t)[1]
                now = {**now, **{n: now[n] - 0.5 * found[n] for n in learn}}
            path.append({n: now[n] for n in learn})
            state = sensitivity.advance(state, now, t)
            if turn and not engine.probes_before and t < 5:
                found = sensitivity.probe(probes, state, now, t)[1]
                now = {**now, **{n: now[n] - 0.5 * found[n] for n in learn}}
    for name in learn:
        if kind == "label_smoothing":
            followed = torch.stack([row[name] for row in path])
            torch.testing.assert_close(result.schedule[name], followed, rtol=1e-12, atol=1e-14)
            assert len(followed.unique()) > 2
        else:
            last = result.schedule[name].view(path[-1][name].shape)
            torch.testing.assert_close(last, path[-1][name], rtol=1e-12, atol=1e-14)
            assert not torch.allclose(last, values[name][0])
    assert result.validation_loss == pytest.approx(run.outer_loss(state[0]).loss, rel=1e-12)
    parameters = run.module.flatten(result.parameters)
    torch.testing.assert_close(parameters, state[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("engine", FOLLOWED, ids=repr)
def test_a_plain_run_of_what_was_followed_is_the_same_run(engine):
    result = online("label_smoothing", engine)
    task = task_of(
        "label_smoothing", "mlp", hyperparameters={"smoothing": ng.Constant(initial=0.3)}
    )
    run = ng.Run(task, ng.SGD(learning_rate=0.3), 6, **DOUBLE)
    assert ng.Reverse().rollout(run, result.schedule).outcome.loss == result.validation_loss


def test_rows_and_files_have_room_for_variables(tmp_path):
    long = ng.Variable(initial=drawn(3, 4, 5))
    task = task_of(
        "training_images", "mlp", hyperparameters={"images": ng.Variable(initial=drawn(3, 4))}
    )
    result = online("", ng.EvoGrad(every=2), task=task)
    assert [len(row.values["images"]) for row in result.history] == [12] * 3
    assert [len(row.signs["images"]) for row in result.history] == [12] * 3
    assert [row.note for row in result.history] == [f"after step {t} of 6" for t in (1, 3, 5)]
    loaded = ng.Schedule.load(result.schedule.save(tmp_path / "schedule.json"))
    assert torch.equal(loaded["images"], result.schedule["images"])

    def added(inputs, targets, hypers):
        return inputs + hypers["images"].mean(2)[targets], targets

    task = task_of("training_images", "mlp", hyperparameters={"images": long}, prepare=added)
    result = online("", ng.EvoGrad(every=2, order="before"), task=task)
    assert [row.values for row in result.history] == [{}] * 3
    assert result.history[-1].note == "before step 5 of 6"
    assert result.schedule.curves["images"].basis.shape == (3, 4, 5)


def test_a_subset_of_the_parameters_may_be_perturbed():
    run, _, theta = started(task_of("example_weights", "mlp"))
    named = run.module.unflatten(theta)
    head = {name: torch.full_like(value, name.startswith("2.")) for name, value in named.items()}
    head = run.module.flatten(head)
    made = noise_of(ng.EvoGrad(noise="gaussian", parameters=("2.",)), run, theta)
    assert torch.equal(made.of(0) != 0, head.bool())
    along = noise_of(ng.EvoGrad(parameters=("2.weight",)), run, theta)
    assert along.of(0).norm().item() == pytest.approx(1e-2)
    assert torch.equal(along.of(1), -along.of(0)) and not along.of(0)[head == 0].any()


def test_a_level_validation_loss_moves_nothing():
    task = task_of(
        "example_weights", "mlp", validation_loss=lambda output, target: (output * 0).sum()
    )
    result = online("", ng.EvoGrad(), task=task)
    assert torch.equal(result.schedule["weights"], drawn(14))


def test_one_seed_is_one_estimate():
    task, engine = task_of("example_weights", "conv_net"), ng.EvoGrad(noise="rademacher", batch=4)
    first, again, other = (
        ng.hypergradient(task, ng.SGD(0.3), engine=engine, steps=3, seed=seed).gradients["weights"]
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.allclose(first, other)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, 1 + 2 + 2 * 9 / 6),
        ({"every": 2, "batch": 3}, 1 + 2 * 3 / 5 + 2 * 3 / 6 * 3 / 5),
        ({"noise": Gaussian(copies=6)}, 1 + 6 + 9 / 6),
        ({"noise": Gaussian(copies=6), "execution": "together"}, 1 + 4 + 9 / 6),
    ],
)
def test_costs_are_counted_whole(settings, expected):
    run, _, _ = started(task_of("example_weights", "mlp"), steps=5)
    schedule = ng.Schedule.initial(run.task.hyperparameters())
    assert ng.EvoGrad(**settings).sweep_cost(run, schedule, ["weights"]) == pytest.approx(expected)


def test_it_drives_a_search_by_name():
    task = task_of("example_weights", "mlp")
    result = ng.tune(task, ng.SGD(learning_rate=0.3), steps=12, outer_steps=2, engine="evograd")
    assert result.history[0].accepted and result.settings["engine"] == ng.EvoGrad().to_json()


@pytest.mark.parametrize("kind", ["label_smoothing", "example_weights", "all_at_once"])
def test_greedy_of_one_step_equals_its_tangents(kind):
    # One adjoint step for variables of any size, instead of one tangent for each entry.
    engine, optimizer = ng.Greedy(), ng.SGD(ng.Windows(2, initial=0.3), 0.4)
    task = task_of(kind, "conv_net")
    found = ng.hypergradient(task, optimizer, engine=engine, steps=4, **DOUBLE)
    run = ng.Run(task, optimizer, 4, **DOUBLE)
    table = {**optimizer.hyperparameters(4), **task.hyperparameters(4)}
    learn = [name for name, hyper in table.items() if hyper.learned]
    schedule = ng.Schedule.initial(table)
    pushed = engine._transported(run, schedule, learn, lambda _: None)
    assert_same(found.gradients, pushed.gradients, 1e-10)
    cost = engine.sweep_cost(run, schedule, learn)
    assert (cost == pytest.approx(1 + 3 + 9 / 6)) == (
        kind != "all_at_once"
    )  # has an initialization


# ---- What can go wrong ---------------------------------------------------------------------------------


def evograd(kind="example_weights", optimizer=None, **settings):
    task, optimizer = task_of(kind, "mlp"), optimizer or ng.SGD(learning_rate=0.3)
    dtype = settings.pop("dtype", torch.float64)
    return ng.hypergradient(task, optimizer, engine=ng.EvoGrad(**settings), steps=3, dtype=dtype)


MISTAKES = {
    "copies": (lambda: Gaussian(copies=1), ["`copies`", "at least 2", "1"]),
    "noise": (lambda: ng.EvoGrad(noise="gauss"), ["`noise`", "'gauss'", "Did you mean 'gaussian'"]),
    "sigma": (lambda: Opposite(sigma=0.0), ["`sigma`", "positive finite", "0.0"]),
    "temperature": (lambda: ng.EvoGrad(temperature=math.inf), ["`temperature`", "inf"]),
    "order": (lambda: ng.EvoGrad(order="first"), ["`order`", "'first'", "after, before"]),
    "execution": (lambda: ng.EvoGrad(execution="stream"), ["'stream'", "Did you mean 'streaming'"]),
    "every": (lambda: ng.EvoGrad(every=0), ["`every`", "0", "at least 1 or None"]),
    "batch": (lambda: ng.EvoGrad(batch=True), ["`batch`", "True"]),
    "batch_large": (lambda: evograd(batch=10), ["10", "`validation`", "at most 9"]),
    "sigma_drawn": (lambda: Rademacher(sigma=-1.0), ["`sigma`", "positive finite", "-1.0"]),
    "no_noise": (lambda: ng.EvoGrad(4), ["`noise`", "4"]),
    "pairs": (
        lambda: Gaussian(copies=3, antithetic=True), ["pairs", "copies=3", "Use 4"]
    ),
    "parameters": (lambda: evograd(parameters=("head",)), ["'head'", "Valid names: 0.bias"]),
    "optimizer": (
        lambda: evograd(optimizer=ng.SGD()), ["learning_rate", "SGD", "ng.Reverse() or ng.Greedy()"]
    ),
    "online_optimizer": (lambda: online("example_weights", "evograd", optimizer=ng.SGD()), ["learning_rate"]),
    "initialization": (
        lambda: evograd("initial_scales"), ["scale: enters the initialization", "ng.Reverse() or ng.Greedy()"]
    ),
    "half": (lambda: evograd(dtype=torch.bfloat16), ["torch.bfloat16", "0.01", "torch.float32"]),
    "level": (
        lambda: evograd(relative=True, noise=Gaussian(1e-30)),
        ["all copies have the loss", "Raise `sigma`"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_explained(name):
    act, words = MISTAKES[name]
    with pytest.raises(ValueError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_loss_that_draws_elsewhere_is_told_by_the_second_pass():
    source = torch.Generator().manual_seed(0)

    def restless(output, target, hypers):
        return weighted(output, target, hypers) + 0.1 * torch.rand((), generator=source)

    task = task_of("example_weights", "mlp", loss=restless, verify=False)
    with pytest.raises(ng.ReplayError, match=r"step 0 the loss of copy 0 .* draws random numbers"):
        ng.hypergradient(task, ng.SGD(0.3), engine="evograd", steps=2, dtype=torch.float64)


def test_divergence_names_the_step():
    inputs, targets = classes(14, (4,), seed=1)
    task = task_of("example_weights", "mlp", train=(inputs / 0, targets))
    run, values, theta = started(task)
    with pytest.raises(ng.DivergedError, match=r"training loss of a copy .* step 1 of 3"):
        looked(ng.EvoGrad(), run, values, theta, 1)
