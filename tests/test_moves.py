"""Moves of the default outer rule that need no derivative."""

import pytest
import torch

import nongreedy as ng
from nongreedy.schedules import Schedule
from nongreedy.search.rules._moves import exchange, ramp, ray, regularize

STEPS = 40


def setting(rates, momentum, fixed=""):
    """A schedule and the hyperparameters that move."""
    optimizer = ng.SGD(ng.Windows(len(rates), initial=rates), ng.Windows(1, initial=momentum))
    hyperparameters = optimizer.hyperparameters(STEPS)
    learned = {n: h for n, h in hyperparameters.items() if h.learned and n != fixed}
    return Schedule.initial(hyperparameters), learned


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("length", [0.5, 1.0])
def test_exchange_keeps_the_effective_learning_rate(sign, length):
    schedule, learned = setting([0.1, 0.02], 0.95)
    changed = exchange(schedule, learned, sign)(length)
    slack = 1 - changed["momentum"]
    assert slack.item() == pytest.approx(0.05 * 10 ** (-sign * length))
    effective = changed["learning_rate"] / slack
    torch.testing.assert_close(effective, schedule["learning_rate"] / 0.05)


@pytest.mark.parametrize("kind", [ng.Adam, ng.AdamW])
@pytest.mark.parametrize("sign", [1, -1])
def test_exchange_keeps_the_size_of_adams_noisy_updates(kind, sign):
    optimizer = kind(ng.Windows(2, initial=[0.1, 0.02]), beta1=ng.Windows(1, initial=0.8))
    learned = {n: h for n, h in optimizer.hyperparameters(STEPS).items() if h.learned}
    schedule = Schedule.initial(optimizer.hyperparameters(STEPS))
    changed = exchange(schedule, learned, sign)(0.5)
    slack = 1 - changed["beta1"]
    assert slack.item() == pytest.approx(0.2 * 10 ** (-sign * 0.5))
    sizes = changed["learning_rate"] * slack.sqrt()
    torch.testing.assert_close(sizes, schedule["learning_rate"] * 0.2**0.5)


@pytest.mark.parametrize(
    ("rates", "momentum", "sign"),
    [([0.1], 0.0, -1), ([0.1], 0.998, 1), ([1e-8], 0.7, 1), ([5.0], 0.99, -1)],
    ids=["momentum below 0", "momentum above", "learning rate below", "learning rate above"],
)
def test_no_exchange_across_a_bound(rates, momentum, sign):
    schedule, learned = setting(rates, momentum)
    assert exchange(schedule, learned, sign) is None
    assert exchange(schedule, learned, -sign) is not None


@pytest.mark.parametrize("name", ["learning_rate", "momentum"])
def test_no_exchange_with_a_fixed_partner(name):
    schedule, learned = setting([0.1], 0.5, fixed=name)
    assert exchange(schedule, learned, 1) is None


def test_ramp_starts_at_nothing_and_ends_at_its_length():
    schedule, learned = setting([0.1] * 3, 0.5)
    cooled = ramp(schedule, learned)(2.0)["learning_rate"]
    assert cooled.tolist() == pytest.approx([0.1, 0.01, 0.001])
    assert ramp(*setting([0.1], 0.5)) is None
    assert ramp(*setting([0.1] * 3, 0.5, fixed="learning_rate")) is None


def test_weight_decay_rises_by_decades_up_to_its_bound():
    hyperparameters = ng.SGD(weight_decay=ng.Windows(2, initial=[1e-4, 0.05])).hyperparameters(9)
    schedule = Schedule.initial(hyperparameters)
    more = regularize(schedule, hyperparameters)(2.0)["weight_decay"]
    assert more.tolist() == pytest.approx([1e-2, 0.1])
    full = schedule.with_coefficients(
        {"weight_decay": torch.tensor([0.1, 0.1], dtype=torch.float64)}
    )
    assert regularize(full, hyperparameters) is None
    assert regularize(*setting([0.1], 0.5)) is None  # fixed


def test_a_zero_direction_is_no_move():
    schedule, learned = setting([0.1], 0.5)
    assert ray(schedule, learned, {"learning_rate": torch.zeros(1)}) is None
