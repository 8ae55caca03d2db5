"""Runs undone bit for bit, and hypergradients from them against stored states and plain autograd."""

import functools

import pytest
import torch
from torch.nn import functional

import nongreedy as ng
from nongreedy.engines import Rollout
from nongreedy.engines._trajectory import InMemory

from .helpers import CLIPPINGS, MODELS, Drift, assert_same, at, classes, tiny_task
from .reversible_runs import OPTIMIZERS, kept, made, started, undone

DTYPES = {torch.float64: "float64", torch.float32: "float32"}


def with_stored_states(run, schedule):
    """The same integer run, its floating-point states stored as they are visited."""
    reversal, trajectory = ng.Reversible().reversal(run, run.values(schedule)), InMemory()
    values = {n: v.to(run.dtype) for n, v in reversal.state.factors.values.items()}
    state = reversal.state.floats()
    with run.isolated():
        for t in range(run.steps):
            trajectory.append(state)
            state = reversal.advance(run.gradient(state[0], t)[1], t)
        outcome = run.outer_loss(state[0])
    return Rollout(run, schedule, values, outcome, [], state, trajectory)


def learned(optimizer):
    return list(OPTIMIZERS[type(optimizer).__name__.lower()][1])


@pytest.mark.parametrize("name, steps, spills", [("sgd", 5000, 12), ("adam", 3000, 7)])
def test_thousands_of_noisy_steps_are_undone_bit_for_bit(name, steps, spills):
    changed = {"momentum": 0.9} if name == "sgd" else {"beta1": 0.9, "beta2": 0.999}
    rollout = kept(made(name, **changed), steps)
    integers = rollout.trajectory.state
    assert sum(len(buffer.spilled) for buffer in integers.buffers.values()) >= spills
    assert len(rollout.trajectory.checksums.unique()) == steps  # it was going somewhere
    visited = [t for t, _ in undone(rollout)]  # each checksum is compared on the way
    assert visited == list(reversed(range(steps)))
    assert torch.equal(integers.integers, integers.encode(rollout.run.initial()))
    assert all(buffer.empty for buffer in integers.buffers.values())


@pytest.mark.parametrize("dtype", DTYPES, ids=DTYPES.get)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hypergradients_have_the_bits_of_stored_states(name, model, dtype):
    optimizer = made(name, **CLIPPINGS["both"])
    run, schedule = started(optimizer, 12, tiny_task(model), dtype)
    expected = ng.Reverse().differentiate(with_stored_states(run, schedule), learned(optimizer))
    found = ng.Reversible().hypergradient(run, schedule, learned(optimizer))
    assert (found.value, found.accuracy) == (expected.value, expected.accuracy)
    assert found.initial.dtype == dtype and torch.equal(found.initial, expected.initial)
    for learn in learned(optimizer):
        assert torch.equal(found.per_step[learn], expected.per_step[learn])
        assert torch.equal(found.gradients[learn], expected.gradients[learn])
        assert found.gradients[learn].abs().max() > 0


# ---------------------------------------------------------------- against plain autograd


def sgd_by_hand(state, g, h):
    theta, v = state
    v = h["momentum"] * v + g + h["weight_decay"] * theta
    return theta - h["learning_rate"] * v, v


def adam_by_hand(state, g, h, coupled=True):
    theta, m, v = state
    if coupled:
        g = g + h["weight_decay"] * theta
    else:
        theta = theta * (1 - h["learning_rate"] * h["weight_decay"])
    m, v = h["beta1"] * m + (1 - h["beta1"]) * g, h["beta2"] * v + (1 - h["beta2"]) * g * g
    mean, square = m / (1 - h["beta1"] ** h["step"]), v / (1 - h["beta2"] ** h["step"])
    return theta - h["learning_rate"] * mean / (square.sqrt() + h["epsilon"]), m, v


BY_HAND = {
    "sgd": (sgd_by_hand, 2),
    "adam": (adam_by_hand, 3),
    "adamw": (functools.partial(adam_by_hand, coupled=False), 3),
}


COUNTED = "step", "steps"  # in values, beside the hyperparameters


def unrolled(name, run, values):
    """Derivatives by the initial weights and by every value, through one graph of the whole run."""
    update, slots = BY_HAND[name]
    net = MODELS["mlp"][0]().double()
    shapes = {n: p.shape for n, p in net.named_parameters()}

    def loss(theta, inputs, targets):
        parts = theta.split([shape.numel() for shape in shapes.values()])
        weights = {n: p.view(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}
        return functional.cross_entropy(torch.func.functional_call(net, weights, inputs), targets)

    start = run.initial()[0].requires_grad_()
    leaves = {n: v.detach().clone().requires_grad_() for n, v in values.items() if n not in COUNTED}
    state = (start, *[torch.zeros_like(start)] * (slots - 1))
    for t in range(run.steps):
        batch = run.task.plan.batch(run.seed, t, run.task.device, torch.float64)
        (g,) = torch.autograd.grad(loss(state[0], *batch), state[0], create_graph=True)
        counted = {name: values[name] for name in COUNTED}
        state = update(state, g, at({**leaves, **counted}, t))
    loss(state[0], *classes(9, (4,), seed=2)).backward()
    return start.grad, {n: leaf.grad for n, leaf in leaves.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hypergradients_equal_an_independent_full_unroll(name):
    optimizer = made(name)
    run, schedule = started(optimizer, 150)
    rollout = ng.Reversible().rollout(run, schedule, keep=True)
    found = ng.Reversible().differentiate(rollout, learned(optimizer))
    initial, per_step = unrolled(name, run, rollout.values)
    assert_same({"initial": found.initial}, {"initial": initial}, 1e-11)
    assert_same(found.per_step, per_step, 1e-11)


@pytest.mark.parametrize("clipping", CLIPPINGS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_the_floating_point_run_where_fractions_are_exact(name, clipping):
    changed = {"momentum": ng.Windows(2, initial=(0.9, 0.85))} if name == "sgd" else {}
    optimizer = made(name, **changed, **CLIPPINGS[clipping])
    integer, floating = (
        ng.hypergradient(
            tiny_task(), optimizer, steps=100, engine=engine, seed=6, dtype=torch.float64
        )
        for engine in ("reversible", "reverse:device")
    )
    assert integer.value == pytest.approx(floating.value, rel=1e-11)
    assert_same(integer.per_step, floating.per_step, 1e-9)
    assert_same({"": integer.initial}, {"": floating.initial}, 1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hypergradients_match_finite_differences(name):
    changed = {"momentum": ng.Windows(2, initial=(0.9, 0.85))} if name == "sgd" else {}
    settings = {"steps": 50, "seed": 6, "dtype": torch.float64}
    found, judge = (
        ng.hypergradient(tiny_task(), made(name, **changed), engine=engine, **settings)
        for engine in (ng.Reversible(), ng.FiniteDifference(step=1e-4))
    )
    assert_same(found.gradients, judge.gradients, 1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_follows_float64(name):
    single, double = (
        ng.Reversible().hypergradient(*started(made(name), 30, dtype=dtype), learned(made(name)))
        for dtype in (torch.float32, torch.float64)
    )
    assert_same(single.gradients, double.gradients, 1e-3)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
def test_adam_is_as_accurate_for_small_gradients_as_for_large(scale):
    def loss(output, target):
        return scale * functional.cross_entropy(output, target)

    optimizer = made("adam", beta2=0.999, epsilon=1e-8 * scale, weight_decay=0.0)
    run, schedule = started(optimizer, 100, tiny_task(loss=loss))
    integer, floating = (e.rollout(run, schedule).final[0] for e in (ng.Reversible(), ng.Reverse()))
    torch.testing.assert_close(integer, floating, rtol=0, atol=2e-6)
    assert (floating - run.initial()[0]).abs().max() > 0.1


def test_a_momentum_is_rounded_to_a_fraction_and_differentiated_there():
    optimizer = made("sgd")
    rollout = kept(optimizer, 10)
    fractions = rollout.trajectory.state.factors.fractions["momentum"]
    n, d = (part[-1].item() for part in fractions)
    assert d <= 1000 and 0 < abs(n / d - 0.87654321) < 1 / (1000 * d)
    assert rollout.values["momentum"][-1].item() == n / d
    # Straight through: two momenta that round to the same fraction have the same derivative.
    shifted = ng.Schedule.of(momentum=[0.9, 0.87654322])
    both = [
        ng.hypergradient(tiny_task(), optimizer, steps=10, schedule=s, engine="reversible")
        for s in (None, shifted)
    ]
    assert torch.equal(both[0].gradients["momentum"], both[1].gradients["momentum"])
    coarse = kept(optimizer, 10, ng.Reversible(denominator=8)).trajectory.state.factors.fractions
    assert int(coarse["momentum"][1].max()) <= 8


# ------------------------------------------------------------------------ what must fail


def test_naive_reversal_in_floating_point_fails_where_integers_do_not():
    optimizer = made("sgd", momentum=0.9)
    run, schedule = started(optimizer, 700)
    values, state = run.values(schedule), run.initial()
    with run.isolated():
        for t in range(700):
            state, _ = run.step(state, at(values, t), t)
        theta, v = state
        for t in reversed(range(700)):
            rate, momentum, decay = (values[n][t] for n in learned(optimizer))
            theta = theta + rate * v
            v = (v - run.gradient(theta, t)[1] - decay * theta) / momentum
            if not v.abs().max() < 1e6:
                break
    assert not (theta - run.initial()[0]).abs().max() < 1.0
    *_, (t, last) = undone(kept(optimizer, 700))
    assert t == 0 and (last - run.initial()).abs().max() < 2**-52


def flip_a_bit(rollout):
    rollout.trajectory.state.integers[0, 17] ^= 1


def flip_a_high_bit(rollout):
    rollout.trajectory.state.integers[1, 17] ^= 2**61


def change_the_order(rollout):
    rollout.run.seed = 7


def disturb_a_buffer(rollout):
    rollout.trajectory.state.buffers["momentum"].limb[3] += 1


@pytest.mark.parametrize(
    "damage", [flip_a_bit, flip_a_high_bit, change_the_order, disturb_a_buffer]
)
@pytest.mark.parametrize(
    ("verify", "words"),
    [
        (True, "Undoing step 199 .*Likely causes"),
        (False, "Undoing|buffer of momentum|training loss at step"),
    ],
)
def test_any_difference_is_noticed(damage, verify, words):
    engine = ng.Reversible(verify=verify)
    rollout = kept(made("sgd", momentum=0.9), 200, engine)
    damage(rollout)
    with pytest.raises(ng.ReplayError, match=words):
        engine.differentiate(rollout, ["learning_rate"])


def test_data_that_drift_are_noticed():
    data = Drift(*classes(14, (4,), 0), steady=4 + 12 * 6)
    with pytest.raises(ng.ReplayError, match=r"batch of step \d+"):
        ng.Reversible().hypergradient(
            *started(made("sgd"), 12, tiny_task(train=data)), ["learning_rate"]
        )
