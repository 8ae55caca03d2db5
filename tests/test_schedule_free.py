"""Schedule-free optimizers: the package of their authors, differences of a plain loop, edges of the rates."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from .helpers import assert_same, default_dtype, tiny_task
from .plain_loop import STENCIL

STEPS, SEED = 12, 4
DOUBLE = {"steps": STEPS, "seed": SEED, "dtype": torch.float64}
# Our optimizer -> a schedule of its settings.
SETTINGS = {
    ng.ScheduleFreeSGD: {"momentum": 0.8, "weight_decay": 0.02},
    ng.ScheduleFreeAdamW: {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.02, "epsilon": 1e-3},
}
RATES = {ng.ScheduleFreeSGD: 0.6, ng.ScheduleFreeAdamW: 0.03}


def package(kind, parameters, rate, warmup=0):
    schedulefree = pytest.importorskip("schedulefree")
    given = SETTINGS[kind]
    if kind is ng.ScheduleFreeSGD:
        return schedulefree.SGDScheduleFree(
            parameters, lr=rate, momentum=given["momentum"], weight_decay=given["weight_decay"],
            warmup_steps=warmup,
        )  # fmt: skip
    return schedulefree.AdamWScheduleFree(
        parameters, lr=rate, betas=(given["beta1"], given["beta2"]), eps=given["epsilon"],
        weight_decay=given["weight_decay"], warmup_steps=warmup,
    )  # fmt: skip


def trained(task, optimizer, module, on_step=lambda step: None):
    """A plain loop; the parameters of each step before it, and at the end those of evaluation."""
    visited = []
    with default_dtype(torch.float64):
        for step in range(STEPS):
            on_step(step)
            visited.append(nn.utils.parameters_to_vector(module.parameters()).detach().clone())
            inputs, targets = task.plan.batch(SEED, step, task.device, torch.float64)
            optimizer.zero_grad()
            functional.cross_entropy(module(inputs), targets).backward()
            optimizer.step()
        optimizer.eval()
    return visited, nn.utils.parameters_to_vector(module.parameters()).detach().clone()


def ours(kind, rates):
    """Visited y, and x at the end, of a run."""
    schedule = ng.Schedule.of(learning_rate=rates, **SETTINGS[kind])
    run, visited = ng.Run(tiny_task(), kind(0.1), STEPS, SEED, torch.float64), []
    keep = {"on_state": lambda step, state: visited.append(state[0].clone())}
    return visited, ng.Reverse().rollout(run, schedule, **keep).answer, run


def copy_of(run):
    module = run.task.network(SEED, torch.float64)
    return module


@pytest.mark.parametrize("warmup", [0, 5])
@pytest.mark.parametrize("kind", SETTINGS)
def test_every_step_equals_the_package(kind, warmup):
    rate = RATES[kind]
    rates = [rate * min(1.0, (step + 1) / max(warmup, 1)) for step in range(STEPS)]
    visited, answer, run = ours(kind, rates)
    module = copy_of(run)
    optimizer = package(kind, module.parameters(), rate, warmup)
    optimizer.train()
    theirs, last = trained(run.task, optimizer, module)
    for mine, other in zip(visited, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(answer, last, rtol=1e-10, atol=1e-12)
    assert (answer - visited[-1]).abs().max() > 1e-3  # x is not y


@pytest.mark.parametrize("kind", SETTINGS)
def test_falling_rates_weigh_by_themselves_unlike_in_the_package(kind):
    rates = [RATES[kind] * (1 - step / STEPS) for step in range(STEPS)]
    _, answer, run = ours(kind, rates)
    module = copy_of(run)
    optimizer = package(kind, module.parameters(), rates[0])
    optimizer.train()
    _, last = trained(
        run.task, optimizer, module, lambda t: optimizer.param_groups[0].update(lr=rates[t])
    )
    assert (answer - last).abs().max() > 1e-4
    module = copy_of(run)
    twin = kind(0.1).torch_optimizer(module.parameters())
    scheduler = ng.Schedule.of(learning_rate=rates, **SETTINGS[kind]).attach(twin, STEPS)
    _, mine = trained(run.task, twin, module, lambda t: scheduler.step() if t else None)
    torch.testing.assert_close(answer, mine, rtol=1e-11, atol=1e-13)


def by_hand(kind, values):
    """Validation loss by a loop that has nothing of the library but batches, in the paper's letters."""
    task = tiny_task()
    run = ng.Run(task, kind(0.1), STEPS, SEED, torch.float64)
    model = run.task.network(SEED, torch.float64)
    shapes = dict(model.named_parameters())
    y = {name: p.detach().clone() for name, p in shapes.items()}
    z, x = dict(y), dict(y)
    v, total = {name: torch.zeros_like(p) for name, p in y.items()}, 0.0

    def loss(parameters, batch):
        output = torch.func.functional_call(model, parameters, (batch[0],))
        return functional.cross_entropy(output, batch[1])

    for t in range(STEPS):
        now = {name: float(row[len(row) * t // STEPS]) for name, row in values.items()}
        batch = task.plan.batch(SEED, t, task.device, torch.float64)
        leaves = {name: p.clone().requires_grad_() for name, p in y.items()}
        slopes = torch.autograd.grad(loss(leaves, batch), list(leaves.values()))
        rate = now["learning_rate"]
        total += rate**2
        c = rate**2 / total
        mixing = now["momentum" if kind is ng.ScheduleFreeSGD else "beta1"]
        decay = now["weight_decay"]
        for name, g in zip(list(y), slopes, strict=True):
            if kind is ng.ScheduleFreeAdamW:
                v[name] = now["beta2"] * v[name] + (1 - now["beta2"]) * g**2
                g = g / ((v[name] / (1 - now["beta2"] ** (t + 1))) ** 0.5 + now["epsilon"])
            z[name] = z[name] - rate * (g + decay * y[name])
            x[name] = (1 - c) * x[name] + c * z[name]
            y[name] = (1 - mixing) * z[name] + mixing * x[name]
    inputs, targets = task.validation.fetch(slice(0, task.validation.count))
    return loss(x, (inputs.double(), targets)).item()


ROWS = {
    ng.ScheduleFreeSGD: {
        "learning_rate": (0.3, 0.9, 0.6), "momentum": (0.8, 0.6), "weight_decay": (0.02, 0.05),
    },
    ng.ScheduleFreeAdamW: {
        "learning_rate": (0.03, 0.09, 0.06), "beta1": (0.8, 0.6), "beta2": (0.9,),
        "weight_decay": (0.02, 0.05), "epsilon": (0.02,),
    },
}  # fmt: skip


@pytest.mark.parametrize("engine", [ng.Reverse("device"), ng.Forward()], ids=repr)
@pytest.mark.parametrize("kind", ROWS)
def test_hypergradients_match_differences_of_a_plain_loop(kind, engine):
    rows = ROWS[kind]
    optimizer = kind(**{name: ng.Windows(len(row), initial=row) for name, row in rows.items()})
    found = ng.hypergradient(tiny_task(), optimizer, engine=engine, **DOUBLE)
    assert found.value == pytest.approx(by_hand(kind, rows), rel=1e-12)
    expected = {}
    for name, row in rows.items():
        slopes = []
        for j, value in enumerate(row):
            width, total = 3e-4 * value, 0.0
            for offset, weight in STENCIL:
                moved = [*row[:j], value + offset * width, *row[j + 1 :]]
                total += weight * by_hand(kind, {**rows, name: moved})
            slopes.append(total / width)
        expected[name] = torch.tensor(slopes, dtype=torch.float64)
    assert_same(found.gradients, expected, 1e-6)
    assert all(slope.abs().min() > 1e-6 for slope in expected.values())


@pytest.mark.parametrize("engine", [ng.Reverse("device"), ng.Forward()], ids=repr)
@pytest.mark.parametrize("kind", SETTINGS)
def test_rates_of_zero_at_first_change_nothing_and_have_derivatives(kind, engine):
    rates = [0.0, 0.0, 0.0, *[RATES[kind]] * (STEPS - 3)]
    optimizer = kind(ng.PerStep(initial=rates, bounds=(-1.0, 9.0), transform=None))
    found = ng.hypergradient(tiny_task(), optimizer, engine=engine, **DOUBLE).gradients
    judge = ng.FiniteDifference(step=1e-4, order=4)
    expected = ng.hypergradient(tiny_task(), optimizer, engine=judge, **DOUBLE).gradients
    assert_same(found, expected, 1e-6)
    still = ng.Schedule.of(learning_rate=0.0, **SETTINGS[kind])
    run = ng.Run(tiny_task(), optimizer, STEPS, SEED, torch.float64)
    rollout = ng.Reverse().rollout(run, still)
    assert torch.equal(rollout.answer, run.initial()[0])


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_twin_goes_back_and_forth_and_refuses_a_step_in_between(kind):
    weight = nn.Parameter(torch.ones(3))
    optimizer = kind(0.1).torch_optimizer([weight])
    optimizer.eval()
    optimizer.train()
    assert torch.equal(weight, torch.ones(3))
    for _ in range(3):
        weight.grad = torch.tensor([1.0, -1.0, 2.0])
        optimizer.step()
    trained, state = weight.detach().clone(), optimizer.state[weight]
    optimizer.eval()
    optimizer.eval()
    assert torch.equal(weight, state["x"]) and not torch.equal(weight, trained)
    with pytest.raises(RuntimeError, match=r"optimizer.train\(\)"):
        optimizer.step()
    again = kind(0.1).torch_optimizer([weight])
    again.load_state_dict(optimizer.state_dict())
    again.train()
    assert torch.equal(weight, trained)


def test_what_is_an_average_already_is_not_averaged():
    with pytest.raises(ValueError, match="is an average already"):
        ng.ScheduleFreeSGD(1.0, average=ng.TailAverage())
    twin = ng.TorchScheduleFreeSGD([nn.Parameter(torch.ones(1))])
    with pytest.raises(ValueError, match="averages by itself"):
        ng.Schedule.of(learning_rate=0.1, average_share=0.5).attach(twin, 4)


def test_the_package_is_not_given_what_it_cannot_follow():
    schedulefree = pytest.importorskip("schedulefree")
    theirs = schedulefree.SGDScheduleFree([nn.Parameter(torch.ones(1))], lr=1.0)
    with pytest.raises(ValueError, match="changes 'momentum'"):
        ng.Schedule.of(learning_rate=0.1, momentum=[0.8, 0.9]).attach(theirs, 4)
    with pytest.warns(UserWarning, match="the largest rate so far"):
        ng.Schedule.of(learning_rate=[0.2, 0.1], momentum=0.9).attach(theirs, 4)
    ng.Schedule.of(learning_rate=[0.1, 0.2], momentum=0.9).attach(theirs, 4)


@pytest.mark.parametrize("kind", SETTINGS)
def test_half_precision_and_reversible_are_refused(kind):
    with pytest.raises(ValueError, match=r"dtype=torch.float32"):
        ng.Run(tiny_task(), kind(0.1), 3, dtype=torch.bfloat16).initial()
    optimizer = kind(ng.Constant())
    with pytest.raises(ValueError, match="cannot undo a step"):
        ng.hypergradient(tiny_task(), optimizer, steps=3, engine="reversible")


@pytest.mark.parametrize("kind", SETTINGS)
def test_tuned_retrained_and_grouped(kind):
    optimizer = ng.Grouped(kind(ng.Constant()), {"vectors": {"weight_decay": 0.1}})
    result = ng.tune(tiny_task(), optimizer, steps=12, outer_steps=2, budget=30)
    again = ng.retrain(tiny_task(), result.schedule, steps=12, optimizer=optimizer)
    run = ng.Run(tiny_task(), optimizer, 12)
    plain = ng.Reverse().rollout(run, result.schedule)
    assert again.validation_loss == pytest.approx(plain.outcome.loss, rel=1e-4)
    weights = nn.utils.parameters_to_vector(again.model.parameters())
    torch.testing.assert_close(weights.detach(), plain.answer, rtol=1e-4, atol=1e-5)
