"""Runs undone bit for bit, and hypergradients from them against stored states and plain autograd."""

import functools
import gc
import math

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy._engine import Rollout
from nongreedy._errors import OutOfRangeError
from nongreedy._run import at
from nongreedy._trajectory import OnDevice

from .helpers import CLIPPINGS, MODELS, Drift, assert_same, classes, mlp, tiny_task

RATE = ng.Windows(3, initial=(0.03, 0.05, 0.02))
TAIL = {
    "beta1": ng.Windows(2, initial=(0.9, 0.8)),
    "beta2": ng.Linear(2, initial=(0.98, 0.9)),
    "epsilon": ng.Constant(initial=0.01),
    "weight_decay": ng.Windows(4, initial=(0.01, 0.02, 0.005, 0.03)),
}
# Everything learned that can be. The first momentum is a fraction, the second is not quite one.
OPTIMIZERS = {
    "sgd": (
        ng.SGD,
        {
            "learning_rate": RATE,
            "momentum": ng.Windows(2, initial=(0.9, 0.87654321)),
            "weight_decay": TAIL["weight_decay"],
        },
    ),
    "adam": (ng.Adam, {"learning_rate": RATE, **TAIL}),
    "adamw": (ng.AdamW, {"learning_rate": RATE, **TAIL}),
}
DTYPES = {torch.float64: "float64", torch.float32: "float32"}


def made(name, **changed):
    kind, settings = OPTIMIZERS[name]
    return kind(**{**settings, **changed})


def started(optimizer, steps, task=None, dtype=torch.float64):
    run = ng.Run(task or tiny_task(), optimizer, steps, seed=6, dtype=dtype)
    return run, ng.Schedule.initial(optimizer.hyperparameters(steps))


def kept(optimizer, steps, engine=None, **settings):
    engine = engine or ng.Reversible()
    return engine.rollout(*started(optimizer, steps, **settings), keep=True)


def with_stored_states(run, schedule):
    """The same integer run, its floating-point states stored as they are visited."""
    reversal, trajectory = ng.Reversible()._reversal(run, run.values(schedule)), OnDevice(run.steps)
    values = {n: v.to(run.dtype) for n, v in reversal.state.plan.values.items()}
    state = reversal.state.floats()
    with run.isolated():
        for t in range(run.steps):
            trajectory.append(state)
            state = reversal.advance(run.gradient(state[0], t)[1], t)
        outcome = run.outer_loss(state[0])
    return Rollout(run, schedule, values, outcome, [], state, trajectory)


def undone(rollout):
    """Every (t, s_t) of a kept rollout, last first."""
    with rollout.run.isolated():
        yield from rollout.trajectory.backwards(rollout.final, lambda state, t: state)


def learned(optimizer):
    return list(OPTIMIZERS[type(optimizer).__name__.lower()][1])


# ---------------------------------------------------------------------------- bit for bit


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


def unrolled(name, run, values):
    """Derivatives by the initial weights and by every value, through one graph of the whole run."""
    update, slots = BY_HAND[name]
    net = mlp().double()
    shapes = {n: p.shape for n, p in net.named_parameters()}

    def loss(theta, inputs, targets):
        parts = theta.split([shape.numel() for shape in shapes.values()])
        weights = {n: p.view(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}
        return functional.cross_entropy(torch.func.functional_call(net, weights, inputs), targets)

    start = run.initial()[0].requires_grad_()
    leaves = {n: v.detach().clone().requires_grad_() for n, v in values.items() if n != "step"}
    state = (start, *[torch.zeros_like(start)] * (slots - 1))
    for t in range(run.steps):
        batch = run.task.plan.batch(run.seed, t, run.task.device, torch.float64)
        (g,) = torch.autograd.grad(loss(state[0], *batch), state[0], create_graph=True)
        state = update(state, g, at({**leaves, "step": values["step"]}, t))
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
    fractions = rollout.trajectory.state.plan.fractions["momentum"]
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
    coarse = kept(optimizer, 10, ng.Reversible(denominator=8)).trajectory.state.plan.fractions
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
    [(True, "Undoing step 199 .*Likely causes"), (False, "Undoing|buffer of momentum")],
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


# ------------------------------------------------------------------------------- refusals

REFUSED = {
    "nesterov": (ng.SGD(momentum=0.9, nesterov=True), "SGD with nesterov=True"),
    "dampening": (ng.SGD(momentum=0.9, dampening=0.1), "SGD with dampening=0.1"),
    "rmsprop": (ng.RMSprop(), "undo a step of RMSprop"),
    "adagrad": (ng.Adagrad(), "undo a step of Adagrad"),
    "lion": (ng.Lion(), "undo a step of Lion"),
    "muon": (ng.Muon(), "undo a step of Muon"),
    "no_momentum": (ng.SGD(), "momentum is 0 at step 0"),
    "late": (ng.SGD(momentum=ng.Windows(2, initial=(0.9, 0.0))), "momentum is 0 at step 3"),
    "beta2": (ng.Adam(beta2=0.0), "beta2 is 0 at step 0"),
    "decay": (
        ng.AdamW(0.5, weight_decay=ng.Windows(2, initial=(0.1, 4.0), bounds=(0.01, 5.0))),
        r"learning_rate \* weight_decay is 2 at step 3",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_reversed_is_refused_before_the_first_step(name):
    optimizer, words = REFUSED[name]
    taken = []
    with pytest.raises(ValueError, match=rf"{words}.*Reverse\(store='checkpoint'\)"):
        ng.Reversible().rollout(*started(optimizer, 5), on_step=taken.append)
    assert not taken


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match=r"not torch.bfloat16.*Reverse\(store='checkpoint'\)"):
        kept(made("sgd"), 5, dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "given"),
    [("denominator", 1), ("denominator", 2**21), ("denominator", 9.5), ("fraction_bits", 60)],
)
def test_settings_out_of_range(name, given):
    with pytest.raises(ValueError, match=f"`{name}` must be a whole number .* but got {given}"):
        ng.Reversible(**{name: given})


@pytest.mark.parametrize(
    ("name", "rate", "words"),
    [
        ("sgd", 50.0, r"(velocity|parameters) left the fixed-point range.* at step \d+ of 60"),
        ("adam", 200.0, r"parameters left the fixed-point range, .* below 1024, at step \d+ of 60"),
    ],
)
def test_numbers_out_of_range_name_tensor_and_step(name, rate, words):
    # Squared errors: their gradients grow with the weights.
    x, y = torch.randn(12, 4), torch.randn(12, 3)
    growing = ng.Task(nn.Linear(4, 3), functional.mse_loss, (x, y), (x, y), batch_size=6)
    task = growing if name == "sgd" else tiny_task()
    optimizer = made(name, learning_rate=rate, weight_decay=0.0)
    with pytest.raises(OutOfRangeError, match=words) as caught:
        kept(optimizer, 60, task=task)
    assert isinstance(caught.value, ng.DivergedError) and 0 <= caught.value.step < 60
    if name == "adam":  # the way out that the message offers
        wide = kept(optimizer, 60, ng.Reversible(fraction_bits=44), task=task)
        assert [t for t, _ in undone(wide)][-1] == 0


# --------------------------------------------------------------------------------- memory


def test_the_buffer_of_three_thousand_steps_takes_at_most_eighty_bytes():
    rollout = kept(made("sgd", momentum=0.9), 3000)
    memory = rollout.trajectory.memory
    assert memory.bits / 3000 == pytest.approx(0.152, rel=0.05)
    assert memory.bits / 8 < memory.buffer_bytes_per_parameter <= 80
    assert memory.checksum_bytes == 8 * 3000
    assert memory.state_bytes == 16 * memory.parameters


@pytest.mark.parametrize("verify", [True, False])
def test_nothing_but_a_checksum_grows_with_the_steps(verify):
    def held(steps):
        # The schedule itself has one value per step; those are not the trajectory's.
        rollout = kept(made("sgd", momentum=0.99), steps, ng.Reversible(verify=verify))
        integers, trajectory = rollout.trajectory.state, rollout.trajectory
        tensors = [
            integers.integers,
            trajectory.checksums,
            *(buffer.limb for buffer in integers.buffers.values()),
            *(limb for b in integers.buffers.values() for _, limb in b.spilled),
        ]
        gc.collect()
        # Of all that is alive (warnings come from lazy modules that are looked at).
        alive = sum(type(value) is torch.Tensor for value in gc.get_objects())
        return alive, sum(tensor.nbytes for tensor in tensors)

    held(20)
    (few, small), (many, large) = held(50), held(350)
    assert many == few and large - small == 8 * 300 * verify


# ------------------------------------------------------------------------- the outer loop


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_tune(name):
    changed = {"momentum": ng.Windows(1, initial=0.5)} if name == "sgd" else {}
    optimizer = made(name, **changed)
    result = ng.tune(
        tiny_task(), optimizer, steps=12, outer_steps=2, budget=40, engine="reversible"
    )
    assert result.validation_loss < 2.0 and len(result.history) >= 1
    assert "Reversible" in result.settings["engine"]


def test_a_search_rejects_a_proposal_that_cannot_be_reversed():
    # Training leads away from the validation targets: less of everything is better, and the second
    # proposal has no momentum.
    ones, net = torch.ones(8, 1), nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    task = ng.Task(net, functional.mse_loss, (ones, ones), (ones, -ones), batch_size=4)
    rate = ng.Constant(initial=0.01, bounds=(1e-4, 1.0), outer_step=1e-3, transform=None)
    momentum = ng.Constant(initial=0.4, bounds=(0.0, 0.99), outer_step=0.5, transform=None)
    result = ng.tune(
        task, ng.SGD(rate, momentum), steps=10, outer_steps=3, outer=ng.SignDescent(),
        engine="reversible",
    )  # fmt: skip
    first, second, third = result.history
    assert first.signs["momentum"] == "+" and second.values["momentum"] == [0.0]
    assert "rejected: momentum is 0 at step 0" in second.note and not second.accepted
    assert third.accepted and third.values["momentum"][0] == pytest.approx(0.15)


# -------------------------------------------------------------- experiments of the paper


class Valley(nn.Module):
    """Two parameters in a curved valley; the output is the loss."""

    def __init__(self):
        super().__init__()
        self.point = nn.Parameter(torch.tensor([3.9, 1.4]))

    def forward(self, inputs):
        x, y = self.point
        rosenbrock = 100 * (x - y**2) ** 2 + (1 - y) ** 2 + 200 * y
        return 800 * torch.sigmoid(rosenbrock / 500) + 0 * inputs.sum()


def test_three_outer_steps_improve_the_toy():
    data = torch.zeros(1, 1), torch.zeros(1)
    task = ng.Task(Valley, lambda output, target: output, data, data, batch_size=1)
    steps, decay = 50, 0.99
    optimizer = ng.SGD(ng.PerStep(initial=1.0), momentum=decay)
    log_alpha, velocity, losses = torch.full((steps,), -4.5).double(), 0.0, []
    for _ in range(4):
        rate = log_alpha.exp() * (1 - decay)  # the paper's velocity is a mean, ours a sum
        h = ng.hypergradient(
            task, optimizer, steps=steps, schedule=ng.Schedule.of(learning_rate=rate.tolist()),
            engine=ng.Reversible(fraction_bits=44), dtype=torch.float64,
        )  # fmt: skip
        losses.append(h.value)
        velocity = 0.9 * velocity - 0.1 * h.per_step["learning_rate"] * rate
        log_alpha = log_alpha + 0.01 * velocity
    assert losses[3] < losses[0]


def digits_task():
    inputs, targets = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    inputs = inputs.double() / 16
    inputs, targets = inputs - inputs.mean(0), targets.long()
    net = nn.Sequential(
        nn.Linear(64, 60), nn.Tanh(), nn.Linear(60, 30), nn.Tanh(), nn.Linear(30, 10)
    )
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.135, generator=torch.Generator().manual_seed(3))
    return ng.Task(
        net, functional.cross_entropy, (inputs[:1000], targets[:1000]),
        (inputs[:1000], targets[:1000]), batch_size=250,
    )  # fmt: skip


def test_hypergradients_grow_without_bound_where_training_is_chaotic():
    task = digits_task()

    def by_log_rate(log_alpha):
        rate = ng.Constant(initial=0.1 * math.exp(log_alpha), bounds=(1e-3, 10.0))
        optimizer = ng.SGD(rate, momentum=0.9)
        settings = {"steps": 50, "engine": "reversible", "dtype": torch.float64}
        found = ng.hypergradient(task, optimizer, **settings).gradients["learning_rate"].item()
        return found * rate.initial

    smooth = [by_log_rate(a) for a in (0.5, 1.0, 1.5, 2.0)]
    rough = [by_log_rate(a) for a in (3.2, 3.4, 3.6)]
    assert max(smooth) < 0
    assert min(abs(g) for g in rough) > 1e2 * max(abs(g) for g in smooth)
    assert max(rough) > 0 > min(rough)
