"""Schedule-free averages around any optimizer: a plain loop's differences, twins, the authors' package."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import nongreedy as ng

from .helpers import assert_same, tiny_task
from .plain_loop import slope
from .test_averaging import DOUBLE, ENGINES, FREE, SEED, STEPS, flat, loop, sgd

RATES, MIXING = (0.5, 0.8, 0.6), (0.9, 0.7)


def by_hand(rates=RATES, mixing=MIXING, momentum=0.5, decay=0.01):
    """Validation loss of x: z moves by SGD with momentum, gradients are those of y."""
    task = ng.Run(tiny_task(), ng.SGD(), STEPS, SEED, torch.float64).task
    model = task.network(SEED, torch.float64)
    z = nn.utils.parameters_to_vector(model.parameters()).detach()
    y, x, velocity, total = z.clone(), z.clone(), torch.zeros_like(z), 0.0
    for step in range(STEPS):
        rate, mix = rates[3 * step // STEPS], mixing[2 * step // STEPS]
        nn.utils.vector_to_parameters(y, model.parameters())
        inputs, targets = task.plan.batch(SEED, step, task.device, torch.float64)
        loss = functional.cross_entropy(model(inputs), targets)
        gradient = torch.cat(
            [g.reshape(-1) for g in torch.autograd.grad(loss, list(model.parameters()))]
        )
        velocity = momentum * velocity + gradient + decay * y
        z = z - rate * velocity
        total += rate**2
        x = x + (rate**2 / total) * (z - x)
        y = (1 - mix) * z + mix * x
    nn.utils.vector_to_parameters(x, model.parameters())
    inputs, targets = task.validation.fetch(slice(0, task.validation.count))
    return functional.cross_entropy(model(inputs.double()), targets).item()


def optimizer(**changed):
    average = ng.ScheduleFreeAverage(ng.Windows(2, initial=MIXING))
    settings = {"momentum": ng.Constant(initial=0.5), "weight_decay": ng.Constant(initial=0.01)}
    return ng.SGD(ng.Windows(3, initial=RATES), average=average, **{**settings, **changed})


@pytest.mark.parametrize("engine", ENGINES, ids=repr)
def test_hypergradients_match_differences_of_a_plain_loop(engine):
    found = ng.hypergradient(tiny_task(), optimizer(), engine=engine, **DOUBLE)

    def moved(row, by, j):
        return [value + by * (i == j) for i, value in enumerate(row)]

    rates = [slope(lambda by, j=j: by_hand(rates=moved(RATES, by, j))) for j in range(3)]
    mixing = [slope(lambda by, j=j: by_hand(mixing=moved(MIXING, by, j))) for j in range(2)]
    expected = {
        "learning_rate": rates,
        "average_interpolation": mixing,
        "momentum": [slope(lambda by: by_hand(momentum=0.5 + by))],
        "weight_decay": [slope(lambda by: by_hand(decay=0.01 + by))],
    }
    table = {name: torch.tensor(row, dtype=torch.float64) for name, row in expected.items()}
    assert found.value == pytest.approx(by_hand(), rel=1e-12)
    assert_same(found.gradients, table, 1e-6)
    assert all(row.abs().max() > 1e-4 for row in table.values())


@pytest.mark.parametrize("pair", ["sgd", "adamw"])
def test_without_momentum_it_is_the_schedule_free_optimizer(pair):
    rate, mixing = ng.Linear(3, initial=(0.5, 0.8, 0.2)), ng.Constant(initial=0.8)
    average = ng.ScheduleFreeAverage(mixing)
    if pair == "sgd":
        ours = ng.SGD(rate, weight_decay=0.01, average=average)
        theirs, name = ng.ScheduleFreeSGD(rate, momentum=mixing, weight_decay=0.01), "momentum"
    else:
        ours = ng.AdamW(rate, beta1=0.0, weight_decay=0.01, average=average)
        theirs, name = ng.ScheduleFreeAdamW(rate, beta1=mixing, weight_decay=0.01), "beta1"
    a, b = (ng.hypergradient(tiny_task(), o, **DOUBLE) for o in (ours, theirs))
    assert a.value == pytest.approx(b.value, rel=1e-12)
    assert_same(
        {"rate": a.gradients["learning_rate"], "mix": a.gradients["average_interpolation"]},
        {"rate": b.gradients["learning_rate"], "mix": b.gradients[name]},
        1e-9,
    )


@pytest.mark.parametrize("total", [10, 1])
def test_attached_to_an_ordinary_optimizer_it_moves_and_leaves_the_average(total):
    """As a package's own loop would: the parameters are y, and in the end x."""
    layer, torch_sgd = sgd()
    scheduler = FREE.attach(torch_sgd, total)
    y = z = x = flat(layer)
    weight = 0.0
    for step in range(total):
        after = loop(layer, torch_sgd, scheduler, 1, step)[0]  # of the optimizer's own step, from y
        rate, mix = (0.1, 0.9) if 2 * step < total else (0.05, 0.7)
        z, weight = z + (after - y), weight + rate**2
        x = x + (rate**2 / weight) * (z - x)
        y = (1 - mix) * z + mix * x
        with scheduler.averaged():
            torch.testing.assert_close(flat(layer), x, rtol=1e-11, atol=1e-13)
        end = step + 1 == total
        torch.testing.assert_close(flat(layer), x if end else y, rtol=1e-11, atol=1e-13)


def test_it_equals_the_package_of_its_authors():
    schedulefree = pytest.importorskip("schedulefree")
    mine, torch_sgd = sgd(weight_decay=0.01)
    schedule = ng.Schedule.of(learning_rate=0.1, average_interpolation=0.9)
    scheduler = schedule.attach(torch_sgd, 12)
    theirs, _ = sgd()
    package = schedulefree.SGDScheduleFree(
        theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01
    )
    package.train()

    class Nothing:
        def step(self):
            pass

    loop(mine, torch_sgd, scheduler, 12)
    loop(theirs, package, Nothing(), 12)
    package.eval()
    torch.testing.assert_close(flat(mine), flat(theirs), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("value", [1.0, -0.1, "half"])
def test_an_interpolation_that_cannot_be(value):
    with pytest.raises(ValueError, match="interpolation"):
        ng.ScheduleFreeAverage(value)
