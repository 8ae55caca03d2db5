"""Greedy hypergradients against one real step, dense Jacobians, whole horizons and paper formulas."""

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng
from nongreedy.engines import Probes
from nongreedy.schedules import Curve
from nongreedy.task import DataPlan
from nongreedy.task._data_plan import LOOKS, mix

from .helpers import BASES, MODELS, STEPS, assert_same, at, tiny_task
from .test_closed_forms import (
    FAR,
    LONG,
    NOISE,
    PAIR,
    at_rates,
    greedy_rates,
    moments,
    noisy_quadratic,
)
from .test_optimizers import OPTIMIZERS

SETTINGS = {"steps": STEPS, "seed": 6, "dtype": torch.float64}
# Name -> optimizer with everything learned that can be.
LEARNERS = {
    "sgd": ng.SGD(**BASES["windows"]),
    **OPTIMIZERS,
}


def greedy(model, optimizer, engine, **changed):
    return ng.hypergradient(
        tiny_task(model), LEARNERS[optimizer], engine=engine, **{**SETTINGS, **changed}
    )


def run_of(optimizer, model="mlp", steps=STEPS, **changed):
    return ng.Run(tiny_task(model, **changed), optimizer, steps, seed=6, dtype=torch.float64)


# ---- One step -----------------------------------------------------------------------------------


def stepped_differences(run, schedule, names):
    """dL_val(answer(s_{t+1})) / dh_t by a four-point difference of one real step from each s_t."""
    values, state = run.values(schedule), run.initial()
    found = {name: torch.zeros(run.steps, dtype=torch.float64) for name in names}
    stencil = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))
    with run.isolated():
        for t in range(run.steps):
            now = at(values, t)
            for name in names:
                width = 1e-4 * now[name].abs().clamp(min=1e-2)
                for offset, weight in stencil:
                    moved, _ = run.step(state, {**now, name: now[name] + offset * width}, t)
                    found[name][t] += weight / width * run.ended(moved).loss
            state, _ = run.step(state, now, t)
    return found


# What mixes a mean into the place of the next gradient does nothing to the mean itself; the first step of a
# tail is all of it, however much it counts.
SILENT = {
    "schedulefreesgd": {"momentum"},
    "schedulefreeadamw": {"beta1"},
    "schedule_free_average": {"average_interpolation"},
    "tail_average": {"average_share"},
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", LEARNERS)
def test_one_step_equals_differences_of_one_real_step(name, model):
    optimizer = LEARNERS[name]
    found = greedy(model, name, ng.Greedy())
    schedule = ng.Schedule.initial(optimizer.hyperparameters(STEPS))
    judge = stepped_differences(run_of(optimizer, model), schedule, optimizer.learnable)
    # What acts on later steps only, differences see as rounding.
    silent = {each: judge.pop(each) for each in SILENT.get(name, ())}
    assert all(row.abs().max() < 1e-10 for row in silent.values())
    assert all(not found.per_step[each].any() for each in silent)
    assert_same({each: found.per_step[each] for each in judge}, judge, 1e-6)
    for learned, curve in schedule.curves.items():
        projected = curve.basis.project(found.per_step[learned], STEPS)
        assert torch.equal(found.gradients[learned], projected)
    # Forward-only steps may differ from others in the last bit.
    assert found.value == pytest.approx(greedy(model, name, ng.Reverse()).value, rel=1e-14)


@pytest.mark.parametrize("name", [n for n in LEARNERS if n != "lion"])
def test_every_hyperparameter_matters_at_the_next_step(name):
    # Guards the table above: what is never used would agree with its differences, at zero.
    per_step = greedy("mlp", name, ng.Greedy()).per_step
    silent = {n for n, value in per_step.items() if not bool((value != 0).any())}
    assert silent == SILENT.get(name, set())


@pytest.mark.parametrize("name", LEARNERS)
def test_both_ways_to_one_step_agree(name):
    # Tangents that forget everything, and an adjoint that goes one step back.
    optimizer = LEARNERS[name]
    schedule = ng.Schedule.initial(optimizer.hyperparameters(STEPS))
    pushed = ng.Greedy()._transported(
        run_of(optimizer), schedule, list(schedule.curves), lambda _: None
    )
    assert_same(pushed.gradients, greedy("mlp", name, ng.Greedy()).gradients, 1e-12)


def test_steps_that_are_not_looked_at_count_nothing():
    full, some = (greedy("mlp", "sgd", ng.Greedy(every=every)).per_step for every in (1, 2))
    for name, value in full.items():
        expected = value.clone()
        expected[[1, 3]] = 0.0  # counted back from the last of five
        assert torch.equal(some[name], expected)


# ---- The whole horizon --------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_undiscounted_with_the_last_look_alone_equals_forward(name, model):
    found = greedy(model, name, ng.Greedy(mu=1.0, every=None, chunk=2))
    expected = greedy(model, name, ng.Forward())
    assert found.value == expected.value and found.accuracy == expected.accuracy
    assert_same(found.gradients, expected.gradients, 1e-10)


@functools.cache
def horizons(model, name):
    """k -> Reverse's per-step hypergradients of the run's first k steps: every horizon's own share."""
    optimizer = LEARNERS[name]
    values = ng.Schedule.initial(optimizer.hyperparameters(STEPS)).values(STEPS)
    found = {}
    for k in range(1, STEPS + 1):
        curves = {n: Curve(ng.PerStep(), v[:k]) for n, v in values.items()}
        run = run_of(optimizer, model, k)
        found[k] = ng.Reverse().hypergradient(run, ng.Schedule(curves), list(curves)).per_step
    return found


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("every", [1, 2, None])
@pytest.mark.parametrize("model", ["mlp", "conv_net", "transformer"])
@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_discount_weighs_each_horizon_by_its_power_of_mu(name, model, every, mu):
    found = greedy(model, name, ng.Greedy(mu=mu, every=every)).gradients
    looks = {1: (1, 2, 3, 4, 5), 2: (1, 3, 5), None: (5,)}[every]
    expected = {}
    for learned, hyper in LEARNERS[name].hyperparameters(STEPS).items():
        per_step = torch.zeros(STEPS, dtype=torch.float64)
        for k in looks:
            for t in range(k):
                per_step[t] += mu ** (k - 1 - t) * horizons(model, name)[k][learned][t]
        expected[learned] = hyper.basis.project(per_step, STEPS)
    assert_same(found, expected, 1e-10)


# ---- Dense Jacobians, written out ---------------------------------------------------------------

P = 4 * 2 + 2 * 3  # weights, no biases


def small():
    first, second = nn.Linear(4, 2, bias=False), nn.Linear(2, 3, bias=False)
    return nn.Sequential(first, nn.Tanh(), second)


def loss_at(theta, batch):
    first, second = theta[:8].view(2, 4), theta[8:].view(3, 2)
    return functional.cross_entropy(torch.tanh(batch[0] @ first.T) @ second.T, batch[1])


def sgd_by_hand(state, h, batch, t):
    theta, v = state[:P], state[P:]
    v = h[1] * v + torch.func.grad(loss_at)(theta, batch) + h[2] * theta
    return torch.cat([theta - h[0] * v, v])


def adamw_by_hand(state, h, batch, t):
    (theta, m, v), (rate, beta1, beta2, epsilon, decay) = state.split(P), h
    g = torch.func.grad(loss_at)(theta, batch)
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    size = (v / (1 - beta2 ** (t + 1))).sqrt() + epsilon
    return torch.cat([(1 - rate * decay) * theta - rate * m / (1 - beta1 ** (t + 1)) / size, m, v])


STEPPERS = {"sgd": (sgd_by_hand, 2), "adamw": (adamw_by_hand, 3)}


@pytest.mark.parametrize("mu", [0.0, 0.6, 0.9, 1.0])
@pytest.mark.parametrize(("every", "batch"), [(1, None), (1, 4), (2, 4), (None, None), (3, 9)])
@pytest.mark.parametrize("name", STEPPERS)
def test_equals_the_recursion_of_dense_jacobians(name, every, batch, mu):
    (step, slots), optimizer, task = STEPPERS[name], LEARNERS[name], tiny_task(model=small)
    settings = {**SETTINGS, "engine": ng.Greedy(mu, every, batch)}
    found = ng.hypergradient(task, optimizer, **settings)

    hypers = optimizer.hyperparameters(STEPS)
    names = list(optimizer.learnable)
    # Rows of B: how each step's values depend on all coefficients, name after name.
    bases = [
        torch.stack([h.basis.expand(row, STEPS) for row in torch.eye(len(h.initial)).double()], 1)
        for h in (hypers[n] for n in names)
    ]
    values = torch.stack([hypers[n].basis.expand(hypers[n].initial, STEPS) for n in names], 1)
    start = ng.Run(task, optimizer, STEPS, seed=6, dtype=torch.float64).initial()[0]
    state = torch.cat([start, torch.zeros((slots - 1) * P, dtype=torch.float64)])
    tangents = torch.zeros(len(state), sum(b.shape[1] for b in bases), dtype=torch.float64)
    total = torch.zeros(tangents.shape[1], dtype=torch.float64)
    validation = task.validation.source
    plan = DataPlan(task.validation, batch or task.validation.count)
    for t in range(STEPS):
        data = task.plan.batch(6, t, task.device, torch.float64)
        by_state, by_values = torch.func.jacrev(step, (0, 1))(state, values[t], data, t)
        tangents = mu * by_state @ tangents + by_values @ torch.block_diag(
            *[b[t : t + 1] for b in bases]
        )
        state = step(state, values[t], data, t)
        if (STEPS - 1 - t) % (every or STEPS) == 0:
            chosen = plan.indices(mix(6, LOOKS), t)
            seen = [part[chosen] for part in validation]
            total += torch.func.grad(loss_at)(state[:P], seen) @ tangents[:P]
    expected = dict(zip(names, total.split([b.shape[1] for b in bases]), strict=True))
    assert found.value == pytest.approx(loss_at(state[:P], validation).item(), rel=1e-12)
    assert_same({n: found.gradients[n] for n in names}, expected, 1e-10)


# ---- Looks --------------------------------------------------------------------------------------


def test_looks_are_functions_of_seed_and_step():
    def found(seed, batch=4):
        return greedy("mlp", "sgd", ng.Greedy(batch=batch), seed=seed).per_step["learning_rate"]

    assert torch.equal(found(0), found(0))
    assert not torch.allclose(found(0), found(1))
    assert not torch.allclose(found(0), found(0, batch=None))
    assert torch.equal(found(0, batch=9), found(0, batch=None))  # all of them


def test_batches_of_looks_average_to_the_whole():
    run = run_of(LEARNERS["sgd"])
    theta = run.initial()[0]
    whole = Probes(run, 1, None).gradient(theta, 0)[1]
    probes = Probes(run, 1, 3)  # three batches are one pass over the nine examples
    parts = [probes.gradient(theta, step) for step in range(3)]
    torch.testing.assert_close(torch.stack([g for _, g in parts]).mean(0), whole)
    assert len({outcome.loss for outcome, _ in parts}) == 3


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (ng.Greedy(), 1 + 9 / 6),
        (ng.Greedy(batch=3), 1 + 3 / 6),
        (ng.Greedy(batch=3, every=2), 1 + 3 / 6 * 3 / 5),
        # Three windows of five steps begin at steps 0, 2 and 4.
        (ng.Greedy(mu=0.5, every=None), 1 + 2 * (1 + 3 / 5 + 1 / 5) + 9 / 6 / 5),
    ],
    ids=repr,
)
def test_costs_are_counted_whole(engine, expected):
    run = run_of(LEARNERS["sgd"])
    schedule = ng.Schedule.initial(LEARNERS["sgd"].hyperparameters(STEPS))
    assert engine.sweep_cost(run, schedule, ["learning_rate"]) == pytest.approx(expected)


def test_it_drives_a_search_by_name():
    task, optimizer = tiny_task(), ng.SGD(ng.Windows(2, initial=0.1))
    result = ng.tune(task, optimizer, steps=STEPS, outer_steps=2, engine="greedy")
    assert min(result.schedule["learning_rate"]) > 0.1
    assert result.settings["engine"] == ng.Greedy().to_json()


# ---- Short-horizon bias (arXiv:1803.02021, section 12.7 of the specification) -------------------


def test_greed_is_at_rest_where_each_step_is_its_own_optimum():
    task, rates = noisy_quadratic(PAIR, LONG, NOISE, FAR), greedy_rates()
    here, above = (
        at_rates(task, r, engine=ng.Greedy()).per_step["learning_rate"]
        for r in (rates, 1.1 * rates)
    )
    whole = at_rates(task, rates).per_step["learning_rate"]
    assert here.abs().max() < 1e-9 * above.abs().max()
    assert bool((whole[1:50] < -1e-4).all())  # the end of training asks for more


def discounted_slope(rate, mu):
    """dJ/d(constant rate) with step t's share times mu^(T-1-t), from the moments on paper."""
    rates = torch.full((LONG,), rate, dtype=torch.float64, requires_grad=True)
    (shares,) = torch.autograd.grad(moments(rates, PAIR, NOISE, FAR), rates)
    return (shares * mu ** torch.arange(LONG - 1, -1, -1).double()).sum().item()


def root(mu, low=0.01, high=0.9):
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if discounted_slope(middle, mu) < 0 else (low, middle)
    return low


def test_the_shorter_the_memory_the_smaller_the_rate():
    task, roots = noisy_quadratic(PAIR, LONG, NOISE, FAR), {}
    for mu in (0.9, 0.98, 1.0):
        roots[mu] = root(mu)
        for factor in (1.0, 1.2):
            rate, engine = factor * roots[mu], ng.Greedy(mu=mu, every=None)
            at = torch.tensor([rate], dtype=torch.float64)
            found = at_rates(task, at, ng.Constant(), steps=LONG, engine=engine).gradients
            expected = discounted_slope(rate, mu)
            assert found["learning_rate"].item() == pytest.approx(expected, rel=1e-7, abs=1e-7)
        assert expected > 0.01  # at 1.2 times the root: the zero there was one of many digits
    assert roots[1.0] == pytest.approx(0.4436, abs=1e-3)  # the best constant rate
    assert roots[0.9] == pytest.approx(0.0491, abs=1e-3)
    assert roots[0.98] == pytest.approx(0.1930, abs=1e-3)


# ---- Bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: ng.Greedy(mu=1.1), ["`mu`", "[0, 1]", "1.1", "Use 0 for one step"]),
        (lambda: ng.Greedy(mu=-0.1), ["`mu`", "-0.1"]),
        (lambda: ng.Greedy(mu=float("nan")), ["`mu`", "nan"]),
        (lambda: ng.Greedy(mu="online"), ["`mu`", "'online'"]),  # pyright: ignore
        (lambda: ng.Greedy(every=0), ["`every`", "at least 1 or None", "0"]),
        (lambda: ng.Greedy(every=1.5), ["`every`", "1.5"]),  # pyright: ignore
        (lambda: ng.Greedy(batch=True), ["`batch`", "True"]),
        (lambda: ng.Greedy(chunk=0), ["`chunk`", "0"]),
        (lambda: greedy("mlp", "sgd", ng.Greedy(batch=10)), ["10", "`validation`", "at most 9"]),
        (
            lambda: greedy("mlp", "sgd", "greedy:online"),
            ["'greedy:online'", "Did you mean 'greedy'"],
        ),
        (
            lambda: ng.hypergradient(tiny_task(), ng.SGD(0.1), engine=ng.Greedy(), steps=2),
            ["Nothing to learn", "learning_rate=0.1"],
        ),
    ],
)
def test_mistake_is_explained(act, words):
    with pytest.raises(ValueError) as caught:
        act()
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("mu", [0.0, 0.5])
def test_a_validation_loss_that_is_not_finite_names_the_first_look(mu):
    task = tiny_task(validation_loss=lambda output, target: output.mean() / 0)
    with pytest.raises(ng.DivergedError, match=r"validation loss .* step 1 of 5"):
        ng.hypergradient(task, LEARNERS["sgd"], engine=ng.Greedy(mu, every=4, batch=4), **SETTINGS)
