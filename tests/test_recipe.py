"""Recipes: every part against differences of a plain loop that knows nothing of it."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.recipe import PARTS, Augmentation
from nongreedy.recipe._parts import BY_NAME_ONLY
from nongreedy.task._data_plan import DROPOUT, INITIAL, mix

from . import plain_loop
from .helpers import assert_same, classes, tiny_task

STEPS, SEED = 5, 3
SHAPE = (2, 5, 6)
OPTIMIZER = ng.SGD(0.2, momentum=0.5, weight_decay=0.01)


def model():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(36, 3)
    )


def undropped():
    return nn.Sequential(nn.Flatten(), nn.Linear(60, 3))


def task_of(**changed):
    settings = {
        "model": model, "loss": functional.cross_entropy, "batch_size": 6,
        "train": classes(14, SHAPE, seed=1), "validation": classes(9, SHAPE, seed=2),
    }  # fmt: skip
    return ng.Task(**{**settings, **changed})


def moved_start(task):
    """Values at which every one of the recipe's matters, and none is on a kink."""
    generator = torch.Generator().manual_seed(8)
    curves = ng.Schedule.initial(task.hyperparameters(STEPS))
    return {
        name: curves[name] * (1.3 + 0.2 * torch.rand(len(curves[name]), generator=generator).double())
        for name in task.learnable
    }  # fmt: skip


def plain_loss(task, values):
    """Validation loss of ``torch.optim.SGD``'s training with the parts written out by hand."""
    with plain_loop.own_randomness():
        net = plain_loop.network(task, SEED)
        plain_loop.seed_all(mix(SEED, INITIAL, 1))
        weights = [p for p in net.parameters() if p.dim() > 1]
        for weight, scale in zip(weights, values.get("initial_scales", ()), strict=False):
            weight.data *= scale
        optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.5, weight_decay=0.01)
        for step in range(STEPS):
            inputs, targets = task.plan.batch(SEED, step, plain_loop.CPU, torch.float64)
            index = task.plan.index(SEED, step)
            plain_loop.seed_all(mix(SEED, DROPOUT, step))
            augment = Augmentation({n: v[0] for n, v in values.items() if n in ng.recipe.STRENGTHS})
            inputs = augment(inputs)
            others, share = targets, 0.0
            if "mixup" in values:
                partner = torch.randperm(len(inputs))
                share = values["mixup"][0] * torch.rand(len(inputs)).double()
                inputs = inputs + share[:, None, None, None] * (inputs[partner] - inputs)
                others = targets[partner]
            optimizer.zero_grad()
            settings = {}
            if "label_smoothing" in values:
                settings["label_smoothing"] = values["label_smoothing"][0].item()
            if "class_weights" in values:
                settings["weight"] = values["class_weights"]
            output = noisy(net, inputs, values.get("noise"))
            parts = [
                functional.cross_entropy(output, y, reduction="none", **settings)
                for y in (targets, others)
            ]
            own = values.get("class_weights", torch.ones(3).double())
            e = torch.ones(len(targets)).double()
            if "example_weights" in values:
                e = values["example_weights"][index] / values["example_weights"].mean()
            f = e[partner] if "mixup" in values else e
            total = (1 - share) * own[targets] + share * own[others]
            loss = ((1 - share) * e * parts[0] + share * f * parts[1]).sum() / total.sum()
            loss.backward()
            optimizer.step()
        return plain_loop.judged(net, set(), task)


def noisy(net, x, strengths):
    net.train()
    if strengths is None:
        return net(x)
    conv, tanh, flat, drop, linear = net
    x = conv(x * (1 + strengths[0] * torch.randn(len(x), 2, 1, 1).double()))
    x = drop(flat(tanh(x)))
    return linear(x * (1 + strengths[1] * torch.randn(len(x), 36).double()))


def slopes(task, values, width=1e-6):  # narrow: sampling has a kink at every pixel
    found = {}
    for name, row in values.items():
        found[name] = torch.zeros(len(row)).double()
        for j in range(len(row)):
            for offset, weight in plain_loop.STENCIL:
                changed = copy.deepcopy(values)
                changed[name][j] += offset * width
                found[name][j] += weight * plain_loss(task, changed) / width
    return found


OF_OPTIMIZER = ("schedule", "momentum", "weight_decay", "averaging", "groups")
OF_TASK = [word for word in PARTS if word not in OF_OPTIMIZER]
TOGETHER = {
    "all": OF_TASK,
    "weights_of_both": ["class_weights", "example_weights", "label_smoothing"],
}


def at(task, values):
    start = ng.Schedule.initial(task.hyperparameters(STEPS))
    fixed = ng.Schedule.initial(OPTIMIZER.hyperparameters(STEPS)).curves
    return ng.Schedule({**fixed, **start.with_coefficients(values).curves})


@pytest.fixture(scope="module")
def judged():
    """What the plain loop says of each combination, asked once."""
    found = {}

    def ask(key, words):
        if key not in found:
            task, _ = ng.recipe.extend(task_of(), OPTIMIZER, words, steps=STEPS)
            values = moved_start(task)
            found[key] = task, values, plain_loss(task, values), slopes(task, values)
        return found[key]

    return ask


@pytest.mark.parametrize("engine", [ng.Reverse(), ng.Forward(chunk=7)], ids=repr)
@pytest.mark.parametrize("key", [*OF_TASK, *TOGETHER])
def test_hypergradients_are_slopes_of_a_plain_loop(key, engine, judged):
    task, values, loss, expected = judged(key, TOGETHER.get(key, [key]))
    run = ng.Run(task, OPTIMIZER, STEPS, seed=SEED, dtype=torch.float64)
    found = engine.hypergradient(run, at(task, values), list(values))
    assert found.value == pytest.approx(loss, rel=1e-10)
    assert_same(found.gradients, expected, 2e-6)
    for name in values:
        assert expected[name].abs().max() > 1e-6, name


@pytest.mark.parametrize("word", [*PARTS, "recipe"])
def test_every_part_is_verified(word):
    task, optimizer = ng.recipe.extend(task_of(), OPTIMIZER, word, steps=20)
    verification = ng.Problem(task, optimizer, 20).verified()
    assert len(verification.checks) > 5 and not verification.note
    assert all(check.passed for check in verification.checks)


def test_the_recipe_is_all_that_applies_but_weights_of_examples():
    extended = ng.recipe.extend(task_of(), ng.SGD(0.1), steps=20)
    task, optimizer = extended
    assert set(extended.parts) == set(PARTS) - set(BY_NAME_ONLY) and not extended.left_out
    problem = ng.Problem(task, optimizer, 20)
    assert sum(len(hyper.initial) for hyper in problem.learned.values()) >= 30
    assert {"learning_rate_factor[0.weight]", "weight_decay_factor[4.bias]"} <= set(problem.learned)


def test_what_does_not_apply_is_left_out_and_said_and_refused_by_its_own_word():
    data = torch.randn(32, 4), torch.randn(32, 1)
    regression = ng.Task(lambda: nn.Linear(4, 1), functional.mse_loss, data, 0.25, batch_size=8)
    optimizer = ng.Grouped(ng.SGD(0.1), {"vectors": {"weight_decay": 0.0}})
    extended = ng.recipe.extend(regression, optimizer, steps=20)
    assert set(extended.parts) == {"noise", "initial_scales"}
    assert "images of shape (N, C, H, W)" in extended.left_out["augmentation"]
    assert "mse_loss" in extended.left_out["label_smoothing"]
    assert "left out: groups, because Grouped cannot be scaled" in str(extended)
    for word, why in extended.left_out.items():
        with pytest.raises(ValueError, match=f"learn='{word}' does not apply here"):
            ng.recipe.extend(regression, optimizer, ["noise", word], steps=20)
        assert why
    with pytest.raises(ValueError, match=r"no part of a recipe.*label_smoothing"):
        ng.recipe.extend(regression, optimizer, "label_smothing")


def test_weights_of_examples_of_another_loss():
    data = torch.randn(32, 4), torch.randn(32, 2)
    task = ng.Task(lambda: nn.Linear(4, 2), functional.mse_loss, data, 0.25, batch_size=8)
    task, _ = ng.recipe.extend(task, OPTIMIZER, "example_weights", steps=STEPS)
    weights = torch.rand(24, generator=torch.Generator().manual_seed(0)).double() + 0.5
    run = ng.Run(task, OPTIMIZER, STEPS, dtype=torch.float64)
    x, y = task.plan.batch(0, 0, torch.device("cpu"), torch.float64)
    start = run.initial()[0]
    output = run.module(start, x, True)
    row = weights[task.plan.index(0, 0)] / weights.mean()
    expected = (row[:, None] * (output - y).square()).mean().item()
    found = run.gradient(start, 0, {"example_weights": weights})[0]
    assert found == pytest.approx(expected, rel=1e-12)


def test_micro_batches_have_weights_of_examples_and_none_of_classes():
    values = {}
    for accumulate in (1, 2):
        task = task_of(model=undropped, accumulate=accumulate)
        words = ["example_weights", "label_smoothing"]
        task, rule = ng.recipe.extend(task, OPTIMIZER, words, steps=STEPS)
        values[accumulate] = ng.hypergradient(task, rule, steps=STEPS, dtype=torch.float64).value
    assert values[2] == pytest.approx(values[1], rel=1e-9)
    with pytest.raises(ValueError, match="over weights of classes is none over micro-batches"):
        ng.recipe.extend(task_of(accumulate=2), OPTIMIZER, "class_weights", steps=STEPS)


def test_targets_that_are_ignored_are_seen_within_a_recipe():
    task = task_of(accumulate=2)
    labels = task.train.fetch(slice(0, task.train.count))[1].clone()
    labels[task.plan.index(0, 1)[0]] = -100
    train = task.train.fetch(slice(0, task.train.count))[0], labels
    whole, _ = ng.recipe.extend(task_of(), OPTIMIZER, "label_smoothing", steps=STEPS)
    gapped = task_of(train=train, accumulate=2, verify=False)
    task = gapped.training_by(
        whole.learnable, whole.loss, prepare=whole.prepare, forward=whole.forward
    )
    with pytest.raises(ValueError, match="one micro-batch averages over"):
        ng.hypergradient(task, OPTIMIZER, steps=STEPS)


def test_the_users_own_functions_stay():
    def prepare(inputs, targets, hypers):
        return inputs * hypers["gain"], targets

    def forward(network, inputs, hypers):
        return network(inputs) * 0.5

    def initialize(parameters):
        return {name: 2 * p for name, p in parameters.items()}

    weight = torch.tensor([1.0, 2.0, 3.0])
    task = task_of(
        loss=nn.CrossEntropyLoss(weight, label_smoothing=0.1), prepare=prepare, forward=forward,
        initialize=initialize, hyperparameters={"gain": ng.Constant(initial=1.5)},
        augment=lambda inputs, generator: inputs + 1,
    )  # fmt: skip
    words = ["label_smoothing", "initial_scales", "class_weights"]
    extended, _ = ng.recipe.extend(task, OPTIMIZER, words, steps=STEPS)
    losses = [
        ng.Problem(t, OPTIMIZER, STEPS, dtype=torch.float64).run(SEED) for t in (task, extended)
    ]
    outcomes = [
        ng.Reverse().hypergradient(run, at(run.task, {}), ["gain"]) for run in losses
    ]  # fmt: skip
    # At its start, the user's own smoothing and factors of one, the recipe changes nothing.
    assert outcomes[1].value == pytest.approx(outcomes[0].value, rel=1e-12)
    assert_same(outcomes[1].gradients, outcomes[0].gradients, 1e-10)
    assert task.learnable.keys() == {"gain"} and task.loss is not extended.loss


def test_a_name_that_is_taken():
    task = task_of(
        hyperparameters={"noise": ng.Constant(initial=0.1)},
        prepare=lambda x, y, hypers: (x * hypers["noise"], y),
    )
    with pytest.raises(ValueError, match="a hyperparameter called 'noise' already"):
        ng.recipe.extend(task, OPTIMIZER, "noise", steps=STEPS)


def test_a_task_is_extended_once():
    task, optimizer = ng.recipe.extend(task_of(), OPTIMIZER, ["label_smoothing"], steps=STEPS)
    with pytest.raises(ValueError, match="a recipe's already; extend the first task"):
        ng.recipe.extend(task, optimizer, ["class_weights"], steps=STEPS)


def test_a_schedule_with_a_recipe_trains_no_task_without_it():
    task, optimizer = ng.recipe.extend(task_of(), OPTIMIZER, ["label_smoothing"], steps=STEPS)
    schedule = ng.Problem(task, optimizer, STEPS).initial
    ng.retrain(task, schedule, steps=STEPS, optimizer=optimizer)
    with pytest.raises(ValueError, match=r"label_smoothing.*result\.task"):
        ng.retrain(task_of(), schedule, steps=STEPS, optimizer=optimizer)


def test_a_loss_that_is_not_one_call_is_refused():
    def two(output, target):
        return functional.cross_entropy(output, target) + functional.mse_loss(output, output * 0)

    with pytest.raises(ValueError, match="calls cross_entropy, mse_loss"):
        ng.recipe.extend(task_of(loss=two), OPTIMIZER, "label_smoothing", steps=STEPS)
    by_hand = task_of(loss=lambda o, y: -o.log_softmax(1)[torch.arange(len(y)), y].mean())
    with pytest.raises(ValueError, match="calls none of them"):
        ng.recipe.extend(by_hand, OPTIMIZER, "example_weights", steps=STEPS)


def test_noise_and_checkpointing_do_not_go_together():
    from torch.utils.checkpoint import checkpoint

    class Saving(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model()

        def forward(self, x):
            return checkpoint(self.net, x, use_reentrant=False)

    with pytest.raises(ValueError, match="Leave `noise` out"):
        task, _ = ng.recipe.extend(task_of(model=Saving), OPTIMIZER, "noise", steps=STEPS)
        ng.Run(task, OPTIMIZER, STEPS)


def test_factors_of_modules_where_parameters_are_many():
    def deep():
        return nn.Sequential(*(nn.Linear(4, 4) for _ in range(40)), nn.Linear(4, 3))

    task = tiny_task(model=deep)
    _, optimizer = ng.recipe.extend(task, ng.SGD(0.1), "groups", steps=STEPS)
    assert len(optimizer.groups) == 41 and "40.*" in optimizer.groups
    ng.Run(task, optimizer, STEPS)


def test_a_search_over_the_recipe_and_a_fresh_training():
    task, optimizer = ng.recipe.extend(task_of(), OPTIMIZER, steps=12)
    rule = ng.ModelSearch(averaging=False)
    result = ng.tune(task, optimizer, steps=12, outer_steps=2, outer=rule)
    assert set(result.schedule.curves) == set(ng.Problem(task, optimizer, 12).hyperparameters)
    again = ng.retrain(task, result.schedule, steps=12, optimizer=optimizer)
    run = ng.Run(task, optimizer, 12)
    assert again.validation_loss == pytest.approx(
        ng.Reverse().rollout(run, result.schedule).outcome.loss, rel=1e-4
    )
    assert not [part for part in again.model.modules() if part._forward_pre_hooks]


def test_a_loss_module_may_take_hyperparameters():
    class Smoothed(nn.Module):
        def forward(self, output, target, hypers):
            return functional.cross_entropy(output, target) * hypers["gain"]

    task = task_of(
        loss=Smoothed(), validation_loss=functional.cross_entropy,
        hyperparameters={"gain": ng.Constant(initial=0.5)},
    )  # fmt: skip
    found = ng.hypergradient(task, OPTIMIZER, steps=STEPS)
    assert found.gradients["gain"].abs().item() > 1e-6


def test_a_loop_of_ones_own_has_the_same_losses():
    words = ["label_smoothing", "class_weights", "example_weights", "initial_scales", "noise"]
    task, optimizer = ng.recipe.extend(task_of(), OPTIMIZER, words, steps=STEPS)
    schedule = ng.Schedule(
        ng.Schedule.initial(task.hyperparameters(STEPS)).with_coefficients(moved_start(task)).curves
    )
    run = ng.Run(task, optimizer, STEPS, seed=SEED)
    values = run.values(at(task, moved_start(task)))
    training = ng.recipe.Training(task, schedule, STEPS)
    net = task.network(SEED)
    training.initialize(net)
    start = run.initial({name: row[0] for name, row in values.items()})[0]
    torch.testing.assert_close(nn.utils.parameters_to_vector(net.parameters()).detach(), start)
    inputs, targets = task.plan.batch(SEED, 1, plain_loop.CPU, torch.float32)
    with plain_loop.own_randomness():
        plain_loop.seed_all(mix(SEED, DROPOUT, 1))
        loss = training.loss(net, inputs, targets, 1, task.plan.index(SEED, 1))
        found = run.gradient(start, 1, {name: row[1] for name, row in values.items()})[0]
    assert loss.item() == pytest.approx(found, rel=1e-6)
    with pytest.raises(ValueError, match="pass index="):
        training.loss(net, inputs, targets, 1)


class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


class Elsewhere(nn.Sequential):
    """Has the layers, but does not call them."""

    def forward(self, x):
        return super().forward(x) if self[0].weight.dtype == torch.float64 else x @ self[0].weight.T


def test_noise_reaches_a_model_in_a_wrapper_or_is_refused():
    def made(kind=nn.Sequential):
        torch.manual_seed(3)
        return kind(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))

    task, optimizer = ng.recipe.extend(
        tiny_task(model=made), OPTIMIZER, ["noise", "initial_scales"], steps=9
    )
    first = ng.Schedule.initial({**optimizer.hyperparameters(9), **task.hyperparameters(9)})
    strong = {
        "noise": torch.tensor([0.8, 1.2]).double(),
        "initial_scales": torch.tensor([2.0, 3.0]),
    }
    training = ng.recipe.Training(task, first.with_coefficients(strong), 9)
    inputs, targets = classes(8, (4,), 1)
    batch = inputs.float(), targets

    def trained(model):
        training.initialize(model)
        torch.manual_seed(1)
        return training.loss(model, *batch, step=0).item()

    expected = trained(made())
    assert trained(nn.DataParallel(made())) == expected
    assert trained(torch.compile(made(), backend="aot_eager")) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match=r"no such parameter, only module\.0\.weight"):
        training.loss(Wrapper(made()), *batch, step=0)
    with pytest.raises(ValueError, match="came to none of them"):
        training.loss(made(Elsewhere), *batch, step=0)


@pytest.mark.parametrize("shape", [(6,), (6, 4), (3, 2, 5)])
@pytest.mark.parametrize("settings", [{}, {"label_smoothing": 0.3}, {"ignore_index": 1}])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropies_are_pytorchs(shape, settings, weighted):
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(shape[0], 3, *shape[1:], generator=generator).double()
    weight = torch.tensor([0.5, 2.0, 1.0]).double() if weighted else None
    classes_of = torch.randint(3, shape, generator=generator)
    chances = torch.randn(logits.shape, generator=generator).double().softmax(1)
    for target in (classes_of, chances):
        if target is chances and "ignore_index" in settings:
            continue
        losses, weights = ng.recipe.cross_entropies(logits, target, weight=weight, **settings)
        options = {"weight": weight, **settings}
        rows = functional.cross_entropy(logits, target, reduction="none", **options)
        torch.testing.assert_close(losses, rows)
        mean = functional.cross_entropy(logits, target, **options)
        torch.testing.assert_close(losses.sum() / weights.sum(), mean)


def test_gradients_of_weights_that_only_count_in_ratios_are_orthogonal_to_their_scale():
    task, optimizer = ng.recipe.extend(
        task_of(), OPTIMIZER, ["class_weights", "example_weights"], steps=STEPS
    )
    schedule = at(task, moved_start(task))
    run = ng.Run(task, optimizer, STEPS, seed=SEED, dtype=torch.float64)
    found = ng.Reverse().hypergradient(run, schedule, ["class_weights", "example_weights"])
    for name, gradient in found.gradients.items():
        along = (gradient @ schedule[name]).abs()
        assert along < 1e-12 * gradient.norm() * schedule[name].norm() * 100, name
