"""Every optimizer against its torch twin, and its hypergradients against finite differences."""

import functools
from dataclasses import replace

import pytest
import torch
from torch import nn

import nongreedy as ng
from nongreedy import testing

from .helpers import (
    CLIPPINGS,
    MODELS,
    STEPS,
    assert_equals_twin,
    assert_same,
    still_task,
    tiny_task,
)

# Name -> optimizer with everything learned that can be; as the table has them, but without clipping.
OPTIMIZERS = {
    name: replace(optimizer, clip_value=None, clip_norm=None)
    for name, optimizer in testing.OPTIMIZERS.items()
    # Which test_exactness, GROUPED and test_factors have.
    if name not in ("sgd", "grouped", "scaled")
}
# Name -> (optimizer of the rest, its groups), for the table of parameter groups.
GROUPED = {
    "sgd_vectors": ("nesterov", {"vectors": {"learning_rate": ng.Windows(2, initial=(0.2, 0.1))}}),
    "sgd_fixed": ("nesterov", {"*bias": {"weight_decay": 0.0, "momentum": 0.7}}),
    "adamw_two": (
        "adamw",
        {
            "*bias": {"weight_decay": ng.Constant(initial=0.02), "beta1": 0.5},
            "*weight": {"learning_rate": ng.Linear(2, initial=(0.1, 0.05))},
        },
    ),
    "lion": ("lion", {"vectors": {"learning_rate": ng.Constant(initial=0.02)}}),
    "rmsprop": ("rmsprop", {"vectors": {"epsilon": 0.1, "momentum": ng.Constant(initial=0.6)}}),
    "adagrad": ("adagrad", {"vectors": {"weight_decay": ng.Windows(2, initial=(0.1, 0.05))}}),
    # Each entry has its own product of momenta.
    "nadam": ("nadam", {"vectors": {"beta1": ng.Windows(2, initial=(0.6, 0.7))}}),
}
ENGINES = [ng.Forward(chunk=2), ng.Reverse("device"), ng.Reverse("checkpoint")]
# Wider than in test_exactness: decays of 0.01 would otherwise be judged by the last digits of the loss.
JUDGE = ng.FiniteDifference(step=3e-5, order=4)
SETTINGS = {"steps": STEPS, "seed": 6, "dtype": torch.float64}


def made(name, clipping="plain"):
    return replace(OPTIMIZERS[name], **CLIPPINGS[clipping])


@functools.cache
def found(name, model, clipping, engine):
    return ng.hypergradient(tiny_task(model), made(name, clipping), engine=engine, **SETTINGS)


# What the table (test_conformance) leaves out: clipping, and models of the edge.
LEFT = [
    *((model, "plain") for model in testing.EDGE_MODELS),
    *((model, "both") for model in MODELS),
]


# The engines vary fastest, so that those that share a judge stand next to each other.
@pytest.mark.parametrize("engine", ENGINES, ids=repr)
@pytest.mark.parametrize(("model", "clipping"), LEFT)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hypergradients_match_finite_differences(engine, name, model, clipping):
    gradients = found(name, model, clipping, engine).gradients
    assert set(gradients) == set(OPTIMIZERS[name].learnable)
    assert_same(gradients, found(name, model, clipping, JUDGE).gradients, 1e-6)
    assert_same(gradients, found(name, model, clipping, ENGINES[1]).gradients, 1e-10)


@pytest.mark.parametrize("clipping", CLIPPINGS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fifty_steps_equal_the_torch_twin(name, clipping):
    optimizer = made(name, clipping)
    schedule = ng.Schedule.initial(optimizer.hyperparameters(50))
    assert_equals_twin(optimizer, schedule, relative=1e-11)


def test_nadams_decay_may_be_decoupled():
    optimizer = replace(made("nadam"), decoupled=True)
    schedule = ng.Schedule.initial(optimizer.hyperparameters(50))
    assert_equals_twin(optimizer, schedule, relative=1e-12)
    *ours, judge = (
        ng.hypergradient(tiny_task(), optimizer, engine=engine, **SETTINGS).gradients
        for engine in (*ENGINES, JUDGE)
    )
    for gradients in ours:
        assert_same(gradients, judge, 1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_a_gradient_of_exactly_zero_gives_no_nan(engine, name):
    task = still_task()
    settings = {"steps": STEPS, "dtype": torch.float64}
    gradients = ng.hypergradient(task, made(name), engine=engine, **settings).gradients
    judge = ng.hypergradient(task, made(name), engine=JUDGE, **settings).gradients
    assert_same(gradients, judge, 1e-6)
    assert gradients["weight_decay"].abs().min() > 1e-7


def test_lions_betas_have_a_hypergradient_of_exactly_zero():
    gradients = found("lion", "mlp", "plain", ENGINES[1]).gradients
    assert not gradients["beta1"].any() and not gradients["beta2"].any()


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n != "lion"])
def test_every_other_hyperparameter_matters(name):
    # Guards the table above: a value that is never used would agree with its differences, at zero.
    for gradient in found(name, "mlp", "plain", ENGINES[1]).gradients.values():
        assert gradient.abs().max() > 1e-7


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"dampening": 1.5}, "`dampening` must be in"),
        ({"nesterov": True, "dampening": 0.1}, "nesterov=True needs dampening=0"),
        ({"clip_norm": 0.0}, "`clip_norm` must be positive"),
    ],
    ids=["dampening", "nesterov", "clip"],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        ng.SGD(**settings)


@pytest.mark.parametrize("name", ["adamw", "rmsprop"])
def test_tune_and_retrain_accept_every_optimizer(name):
    optimizer = made(name)
    result = ng.tune(tiny_task(), optimizer, steps=12, outer_steps=2, budget=30)
    assert set(result.schedule.curves) == set(OPTIMIZERS[name].learnable)
    again = ng.retrain(tiny_task(), result.schedule, steps=12, optimizer=optimizer)
    assert again.validation_loss < 2.0


def test_muon_turns_a_gradient_into_its_singular_vectors():
    from nongreedy.optimizers._muon import orthogonalized

    for shape in ((6, 4), (4, 6), (5, 2, 3)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
        u, _, v = torch.linalg.svd(matrix.reshape(shape[0], -1), full_matrices=False)
        turned = u.T @ orthogonalized(matrix, 5).reshape(shape[0], -1) @ v.T
        assert (turned - turned.diagonal().diag()).abs().max() < 1e-12
        assert turned.diagonal().min() > 0.5 and turned.diagonal().max() < 1.3
    assert not orthogonalized(torch.zeros(3, 2), 5).any()


def test_one_matrix_moves_as_under_torchs_own_muon():
    # Which runs its iteration in bfloat16: two digits. Its buffer starts the same way.
    generator = torch.Generator().manual_seed(1)
    starts, moved = torch.randn(6, 4, generator=generator), []
    gradients = torch.randn(3, 6, 4, generator=generator)
    for kind in (torch.optim.Muon, ng.TorchMuon):
        weight = nn.Parameter(starts.clone())
        optimizer = kind([weight], lr=0.1, momentum=0.9, weight_decay=0.1)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        moved.append(weight.detach() - starts)
    torch.testing.assert_close(*moved, rtol=0.02, atol=0.01)
    assert moved[1].abs().max() > 0.1


def grouped(name, clipping="plain"):
    base, groups = GROUPED[name]
    return ng.Grouped(made(base, clipping), groups)


@pytest.mark.parametrize("clipping", ["plain", "clip_norm"])
@pytest.mark.parametrize("model", ["mlp", "conv_net", "gru"])
@pytest.mark.parametrize("name", GROUPED)
def test_groups_match_finite_differences(name, model, clipping):
    optimizer = grouped(name, clipping)
    *ours, judge = (
        ng.hypergradient(tiny_task(model), optimizer, engine=engine, **SETTINGS)
        for engine in (*ENGINES, JUDGE)
    )
    for this in ours:
        assert_same(this.gradients, judge.gradients, 1e-6)
        assert_same(this.gradients, ours[0].gradients, 1e-10)
    own = [n for n, h in optimizer.hyperparameters().items() if "[" in n and h.learned]
    assert all(judge.gradients[n].abs().max() > 1e-6 for n in own)


@pytest.mark.parametrize("clipping", CLIPPINGS)
@pytest.mark.parametrize("name", GROUPED)
def test_fifty_steps_of_groups_equal_the_torch_twin(name, clipping):
    optimizer = grouped(name, clipping)
    schedule = ng.Schedule.initial(optimizer.hyperparameters(50))
    assert_equals_twin(optimizer, schedule, relative=1e-11)


def test_equal_groups_change_nothing():
    plain, same = made("adam"), ng.Grouped(made("adam"), {"*bias": {"beta1": made("adam").beta1}})
    found = [ng.hypergradient(tiny_task(), o, **SETTINGS).gradients for o in (plain, same)]
    together = dict(found[1])
    together["beta1"] = together["beta1"] + together.pop("beta1[*bias]")
    assert_same(together, found[0], 1e-10)


def test_groups_are_tuned_and_retrained():
    optimizer = ng.Grouped(ng.SGD(), {"*bias": {"learning_rate": ng.Constant()}})
    result = ng.tune(tiny_task(), optimizer, steps=12, outer_steps=2)
    assert result.schedule["learning_rate[*bias]"].item() > 1e-3
    paper = ng.tune(tiny_task(), optimizer, steps=12, outer_steps=2, outer="paper")
    assert paper.history[0].values["learning_rate[*bias]"] == [0.0]  # the rule's own start
    again = ng.retrain(tiny_task(), result.schedule, steps=12, optimizer=optimizer)
    assert again.validation_loss < 2.0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ng.Grouped(ng.SGD(), {"*bias": {}}), "no settings of its own"),
        (lambda: ng.Grouped(ng.SGD(), {"*bias": {"momentun": 0.1}}), "sets 'momentun'.*momentum"),
        (lambda: ng.Grouped(ng.Muon(), {"*bias": {"momentum": 0.1}}), "Muon cannot be grouped"),
        (lambda: ng.Grouped(ng.SGD(), {}, clip_norm=1.0), "Clipping is over all groups"),
        (
            lambda: ng.Run(tiny_task(), ng.Grouped(ng.SGD(), {"head*": {"momentum": 0.1}}), 3),
            "No parameter is in the group 'head",
        ),
        (
            lambda: ng.Schedule.of(**{"learning_rate[*bias]": 0.1}).attach(
                torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1), 3
            ),
            "torch_groups",
        ),
    ],
    ids=["empty", "unknown", "muon", "clip", "pattern", "attach"],
)
def test_bad_groups(make, words):
    with pytest.raises(ValueError, match=words):
        make()
