"""Every engine against every other, against finite differences and against the paper by hand."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.task._looks import evaluation_parts

from .helpers import (
    BASES,
    CLIPPINGS,
    MODELS,
    STEPS,
    ByHand,
    assert_equals_twin,
    assert_same,
    at,
    classes,
    still_task,
    tiny_task,
)

ENGINES = [
    ng.Forward(),
    ng.Forward(chunk=2),
    *(ng.Reverse(store) for store in ("device", "host", "disk", "checkpoint", "graphs")),
]
# So small a step because a difference must not reach across the kink of a clipped coordinate (see
# `test_clipping_is_active...`); truncation is then nil and rounding below 1e-8 of the hypergradient.
JUDGE = ng.FiniteDifference(step=1e-5, order=4)


def hypergradient(engine, model, clipping, bases, **changed):
    optimizer = ng.SGD(**BASES[bases], **CLIPPINGS[clipping])
    settings = {"steps": STEPS, "engine": engine, "seed": 6, "dtype": torch.float64, **changed}
    return ng.hypergradient(tiny_task(model), optimizer, **settings)


@functools.cache
def judged(model, clipping, bases):
    return hypergradient(JUDGE, model, clipping, bases)


@functools.cache
def swept(model, clipping, bases):
    return hypergradient(ng.Reverse("device"), model, clipping, bases)


# The engines vary fastest, so that those that share a judge stand next to each other.
@pytest.mark.parametrize("engine", ENGINES, ids=repr)
@pytest.mark.parametrize("bases", BASES)
@pytest.mark.parametrize("clipping", CLIPPINGS)
@pytest.mark.parametrize("model", MODELS)
def test_engines_agree_and_match_finite_differences(engine, model, clipping, bases):
    found = hypergradient(engine, model, clipping, bases)
    judge, reverse = judged(model, clipping, bases), swept(model, clipping, bases)
    assert found.value == pytest.approx(judge.value, rel=1e-12)
    assert found.accuracy == judge.accuracy
    assert_same(found.gradients, judge.gradients, 1e-6)
    assert_same(found.gradients, reverse.gradients, 1e-10)
    if isinstance(engine, ng.Reverse):
        # Where the states were kept cannot change a bit of what is computed from them.
        assert all(torch.equal(found.per_step[n], reverse.per_step[n]) for n in found.per_step)
        assert torch.equal(found.initial, reverse.initial)


@pytest.mark.parametrize("bases", BASES)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("clipping", ["clip_value", "clip_norm", "both"])
def test_clipping_is_active_and_off_the_kink(clipping, model, bases):
    # Guards the table above: were no coordinate clipped, it would test nothing of clipping.
    optimizer = ng.SGD(**BASES[bases], **CLIPPINGS[clipping])
    run = ng.Run(tiny_task(model), optimizer, STEPS, seed=6, dtype=torch.float64)
    values = run.values(ng.Schedule.initial(optimizer.hyperparameters(STEPS)))
    state, clipped, scaled, margins = run.initial(), [], [], []
    with run.isolated():
        for t in range(STEPS):
            _, gradient = run.gradient(state[0], t)
            if (bound := optimizer.clip_value) is not None:
                clipped.append((gradient.abs() > bound).double().mean().item())
                margins.append((gradient.abs() - bound).abs().min().item())
                gradient = gradient.clamp(-bound, bound)
            if (bound := optimizer.clip_norm) is not None:
                scaled.append(gradient.norm().item() > bound)
                margins.append(abs(gradient.norm().item() - bound))
            state, _ = run.step(state, at(values, t), t)
    assert all(0 < share < 1 for share in clipped)
    assert not scaled or any(scaled)
    assert min(margins) > 2e-5, min(margins)


@pytest.mark.parametrize("model", MODELS)
def test_shared_hypergradient_is_the_sum_of_the_per_step_ones(model):
    per_step = swept(model, "both", "windows").per_step
    shared = hypergradient(ng.Forward(), model, "both", "windows").gradients  # knows no per-step
    for name, count in (("learning_rate", 3), ("momentum", 2), ("weight_decay", 4)):
        sums = torch.zeros(count, dtype=torch.float64)
        for t, value in enumerate(per_step[name]):
            sums[(count * t) // STEPS] += value
        torch.testing.assert_close(shared[name], sums, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("clipping", CLIPPINGS)
@pytest.mark.parametrize("model", MODELS)
def test_gradient_of_the_initial_weights(model, clipping):
    torch.manual_seed(1)
    module = MODELS[model][0]().double()
    start = nn.utils.parameters_to_vector(module.parameters()).detach()
    direction, width = torch.randn_like(start), 1e-5

    def loss(offset):
        nn.utils.vector_to_parameters(start + offset * width * direction, module.parameters())
        task, optimizer = (
            tiny_task(model, model=module),
            ng.SGD(**BASES["windows"], **CLIPPINGS[clipping]),
        )
        return ng.hypergradient(task, optimizer, steps=STEPS, dtype=torch.float64)

    expected = sum(w * loss(k).value for k, w in ((1, 8), (-1, -8), (2, -1), (-2, 1))) / 12 / width
    found = (loss(0).initial @ direction).item()
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
@pytest.mark.parametrize("clipping", CLIPPINGS)
def test_zero_gradient_gives_no_nan(clipping, engine):
    task = still_task()
    optimizer = ng.SGD(**BASES["windows"], **CLIPPINGS[clipping])
    settings = {"steps": STEPS, "dtype": torch.float64}
    found = ng.hypergradient(task, optimizer, engine=engine, **settings)
    judge = ng.hypergradient(task, optimizer, engine=JUDGE, **settings)
    assert_same(found.gradients, judge.gradients, 1e-6)
    assert all(value.abs().min() > 1e-6 for value in found.gradients.values())


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_equals_the_recursions_written_by_hand(engine):
    hand, generator = ByHand(), torch.Generator().manual_seed(5)
    x, y = (torch.randn(n, k, generator=generator).double() for n, k in ((20, 3), (20, 2)))
    validation = x[:8].flip(1), y[:8]
    task = ng.Task(hand.model, functional.mse_loss, (x, y), validation, batch_size=6)
    windows, steps = (4, 2, 3), 25
    given = {
        "learning_rate": ng.Windows(4, initial=(0.3, 0.5, 0.4, 0.2)),
        "momentum": ng.Windows(2, initial=(0.8, 0.4)),
        "weight_decay": ng.Windows(3, initial=(0.01, 0.03, 0.02)),
    }
    found = ng.hypergradient(task, ng.SGD(**given), steps=steps, engine=engine, dtype=torch.float64)

    run = ng.Run(task, ng.SGD(**given), steps, dtype=torch.float64)
    index = [[(count * t) // steps for t in range(steps)] for count in windows]
    values = torch.stack(
        [
            torch.tensor(b.initial, dtype=torch.float64)[i]
            for b, i in zip(given.values(), index, strict=True)
        ]
    )
    batches = [task.plan.batch(0, t, task.device, torch.float64) for t in range(steps)]
    start = run.initial()[0]
    by_hand = hand.forward(start, values, batches, validation, windows)
    assert_same(found.gradients, dict(zip(given, by_hand, strict=True)), 1e-10)
    if found.per_step:
        per_step, initial = hand.reverse(start, values, batches, validation)
        assert_same(found.per_step, dict(zip(given, per_step, strict=True)), 1e-10)
        assert_same({"initial": found.initial}, {"initial": initial}, 1e-10)


MOMENTA = {"none": 0.0, "constant": 0.9, "zero_first": [0.0, 0.9], "zero_between": [0.9, 0.0, 0.5]}


@pytest.mark.parametrize("momentum", MOMENTA.values(), ids=MOMENTA)
@pytest.mark.parametrize("clipping", CLIPPINGS)
def test_fifty_steps_equal_torch_sgd(clipping, momentum):
    schedule = ng.Schedule.of(
        learning_rate=[0.3, 0.1, 0.2], momentum=momentum, weight_decay=[0.0, 0.01]
    )
    assert_equals_twin(ng.SGD(**CLIPPINGS[clipping]), schedule, relative=1e-12)


def test_outer_loss_is_the_mean_over_its_batches():
    def found(size):
        task = tiny_task(validation=classes(10, (4,), seed=2), evaluation_batch_size=size)
        settings = {"steps": STEPS, "dtype": torch.float64}
        return ng.hypergradient(task, ng.SGD(**BASES["windows"]), **settings)

    whole, sliced = found(10), found(4)
    sizes = [len(part) for part in evaluation_parts(10, 4)]
    assert sizes == [4, 3, 3]  # nearly equal, so that BatchNorm sees no tiny one
    assert sliced.value == pytest.approx(whole.value, rel=1e-12)
    assert_same(sliced.gradients, whole.gradients, 1e-10)


def test_float32_follows_float64():
    single = hypergradient(ng.Reverse(), "conv_net", "plain", "windows", dtype=torch.float32)
    double = swept("conv_net", "plain", "windows")
    assert_same(single.gradients, double.gradients, 1e-3)
    assert single.per_step["momentum"].dtype == torch.float64  # sums over steps accumulate in it


def test_exact_where_the_training_loss_is_linear():
    # No Hessian at all: the gradient's graph does not reach the parameters.
    def loss(output, target):
        return (output - target).mean()

    x, y = torch.randn(6, 2).double(), torch.randn(6, 1).double()
    task = ng.Task(lambda: nn.Linear(2, 1), loss, (x, y), (x, y), batch_size=2)
    gradients = [
        ng.hypergradient(task, ng.SGD(**BASES["constant"]), steps=5, engine=e, dtype=torch.float64)
        for e in (*ENGINES, JUDGE)
    ]
    for found in gradients[:-1]:
        assert_same(found.gradients, gradients[-1].gradients, 1e-6)
