"""Exact integer arithmetic: every operation restored, the buffer's growth, what is refused."""

from fractions import Fraction

import pytest
import torch

import nongreedy as ng
from nongreedy.engines._integers.buffer import Buffer
from nongreedy.engines._integers.factor import DecoupledDecay, Retention
from nongreedy.engines._integers.fixed_point import FixedPoint, in_range
from nongreedy.engines._integers.multiplier import LIMIT, Dense, Fine, Multiplier
from nongreedy.engines._integers.rational import convergents, proper_fractions
from nongreedy.engines._readings import Readings


class Truncating(Multiplier):
    """`Dense` as it must not be: C's division, which rounds towards zero."""

    def multiply(self, c, limb, n, d):
        limb.mul_(d).add_(c.fmod(d))
        c.div_(d, rounding_mode="trunc").mul_(n).add_(limb.fmod(n))
        limb.div_(n, rounding_mode="trunc")

    def divide(self, c, limb, n, d):
        self.multiply(c, limb, d, n)

    def room(self, n, d):
        return LIMIT // max(n, d)

    def most(self, limb, n, d):
        return Dense().most(limb, n, d)


AT_ONCE = Readings(at_once=True).add
MULTIPLIERS = [Dense(), Fine()]
FRACTIONS = [(9, 10), (1, 2), (49, 50), (1, 1000), (999, 1000), (341, 997), (5, 8)]
WIDE = [*FRACTIONS, (2**20 - 1, 2**20), (1, 2**20)]


def named(multiplier):
    return type(multiplier).__name__


def random_integers(count, seed=0, below=LIMIT - 1):
    generator = torch.Generator().manual_seed(seed)
    size = torch.rand(count, generator=generator).double() * 62  # every order of magnitude
    drawn = torch.randint(-below, below, (count,), generator=generator)
    return drawn >> size.long()


def random_limbs(multiplier, n, d, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, multiplier.room(n, d), (count,), generator=generator)


def restores(multiplier, n, d):
    c, limb = random_integers(10_000), random_limbs(multiplier, n, d, 10_000)
    limb[::3] = 0  # an empty buffer, too
    before = c.clone(), limb.clone()
    multiplier.multiply(c, limb, n, d)
    assert not torch.equal(c, before[0])
    multiplier.divide(c, limb, n, d)
    return torch.equal(c, before[0]) and torch.equal(limb, before[1])


@pytest.mark.parametrize(("n", "d"), WIDE)
@pytest.mark.parametrize("multiplier", MULTIPLIERS, ids=named)
def test_division_restores_value_and_buffer(multiplier, n, d):
    assert restores(multiplier, n, d)


@pytest.mark.parametrize(("n", "d"), FRACTIONS)
def test_truncating_division_does_not(n, d):
    assert not restores(Truncating(), n, d)


# Multiplier -> largest error of a product, in units: exact rational arithmetic is the judge.
ERRORS = {Dense: lambda n, d: n, Fine: lambda n, d: Fraction(1, 2)}


@pytest.mark.parametrize(("n", "d"), WIDE)
@pytest.mark.parametrize("multiplier", MULTIPLIERS, ids=named)
def test_a_product_is_as_accurate_as_promised(multiplier, n, d):
    c, limb = random_integers(500), random_limbs(multiplier, n, d, 500)
    exact = [Fraction(value * n, d) for value in c.tolist()]
    multiplier.multiply(c, limb, n, d)
    worst = max(abs(found - value) for found, value in zip(c.tolist(), exact, strict=True))
    assert worst <= ERRORS[type(multiplier)](n, d)


@pytest.mark.parametrize("multiplier", [*MULTIPLIERS, Truncating()], ids=named)
def test_random_sequences_unwind_through_their_spills(multiplier):
    draw = torch.Generator().manual_seed(3)
    c, fractions, shifts = random_integers(300, below=2**55), [], []
    start, buffer = c.clone(), Buffer(c, multiplier, "momentum")
    for step in range(400):
        n, d = FRACTIONS[int(torch.randint(len(FRACTIONS), (), generator=draw))]
        fractions.append((n, d))
        shifts.append(torch.randint(-(2**50), 2**50, c.shape, generator=draw))
        buffer.multiply(c, n, d, step)
        c += shifts[-1]
    assert len(buffer.spilled) >= 5
    try:
        for step in reversed(range(400)):
            c -= shifts[step]
            buffer.divide(c, *fractions[step], step, AT_ONCE)
        restored = torch.equal(c, start) and buffer.empty
    except ng.ReplayError:
        restored = False
    assert restored == (type(multiplier) is not Truncating)


# (n, d), steps, relative tolerance.
GROWTH = [((9, 10), 0.05), ((49, 50), 0.03), ((1, 2), 0.05)]


@pytest.mark.parametrize(("fraction", "tolerance"), GROWTH)
def test_the_buffer_grows_by_the_logarithm_of_the_fraction(fraction, tolerance):
    n, d = fraction
    draw = torch.Generator().manual_seed(4)
    c = torch.zeros(2000, dtype=torch.int64)
    buffer = Buffer(c, Dense(), "momentum")
    for step in range(1000):
        buffer.multiply(c, n, d, step)
        c += torch.randint(-(2**50), 2**50, c.shape, generator=draw)
    expected = torch.tensor(d / n).log2().item()
    assert buffer.bits / 1000 == pytest.approx(expected, rel=tolerance)
    assert len(buffer.spilled) == int(1000 * expected / 61)


@pytest.mark.parametrize(("n", "d"), [(9, 10), (1, 2), (8, 9), (499, 500)])
@pytest.mark.parametrize("multiplier", MULTIPLIERS, ids=named)
def test_a_limb_is_spilled_at_the_step_at_which_it_is_full(multiplier, n, d):
    draw, looks = torch.Generator().manual_seed(7), 0
    c, buffer = random_integers(300, below=2**55), Buffer(torch.zeros(300).long(), multiplier, "")
    steps = 3000 if d == 500 else 700
    for step in range(steps):
        full, spilled = int(buffer.limb.max()) >= multiplier.room(n, d), len(buffer.spilled)
        looks += buffer.may_be_full(n, d)
        buffer.multiply(c, n, d, step)
        assert len(buffer.spilled) == spilled + full
        c += torch.randint(-(2**50), 2**50, c.shape, generator=draw)
    assert looks < steps / 10 and (buffer.spilled or d == 500)


def test_a_buffer_that_should_be_empty_and_is_not():
    c = random_integers(50, below=2**55)
    buffer = Buffer(c, Dense(), "momentum")
    for step in range(600):
        buffer.multiply(c, 9, 10, step)
        c += 2**40 + step
    c += 1  # not the value that the run arrived at
    with pytest.raises(ng.ReplayError, match=r"buffer of momentum holds \d+ non-zero"):
        for step in reversed(range(600)):
            c -= 2**40 + step
            buffer.divide(c, 9, 10, step, AT_ONCE)


# Value, largest denominator, fraction.
NEAREST = [
    (0.9, 1000, (9, 10)),
    (0.95, 1000, (19, 20)),
    (0.999, 1000, (999, 1000)),
    (0.99999, 2**30, (99999, 100000)),
    (0.5, 2, (1, 2)),
    (1 / 3 + 1e-9, 1000, (1, 3)),
    (0.0, 1000, (0, 1)),
    (1.0, 1000, (1, 1)),
    (1e-5, 2**30, (1, 100000)),
]


@pytest.mark.parametrize(("value", "largest", "expected"), NEAREST)
def test_round_numbers_give_small_denominators(value, largest, expected):
    n, d = convergents(torch.tensor([value], dtype=torch.float64), largest)
    assert (n.item(), d.item()) == expected


@pytest.mark.parametrize("largest", [10, 1000, 2**20, 2**30])
def test_fractions_are_near_and_in_lowest_terms(largest):
    values = torch.rand(2000, generator=torch.Generator().manual_seed(5)).double()
    n, d = convergents(values, largest)
    assert int(d.max()) <= largest and int(torch.gcd(n, d).max()) == 1
    # A few units of the last place besides: the expansion itself runs in float64.
    assert bool(((n.double() / d - values).abs() <= 1 / (d.double() * largest) + 1e-15).all())


def test_proper_fractions_are_never_zero_or_one():
    n, d = proper_fractions(torch.tensor([1e-9, 1 - 1e-9, 0.9], dtype=torch.float64), 1000)
    assert n.tolist() == [1, 999, 9] and d.tolist() == [1000, 1000, 10]


@pytest.mark.parametrize("bits", [52, 58])
def test_encoding_rounds_to_the_nearest_and_knows_its_range(bits):
    form = FixedPoint(bits)
    numbers = torch.randn(1000, generator=torch.Generator().manual_seed(6)).double()
    encoded, fits = form.encode(numbers)
    assert fits
    assert (form.decode(encoded) - numbers).abs().max() <= 2.0 ** -(bits + 1)
    assert torch.equal(form.encode(-numbers)[0], -encoded)  # no drift towards one side
    for bad in (form.range, -form.range, float("nan"), float("inf")):
        assert not form.encode(torch.tensor([0.0, bad]))[1]
    assert form.encode(torch.tensor([form.range / 2]))[1]


@pytest.mark.parametrize("largest", [1e-12, 1e-3, 0.9, 1.0, 1.1, 700.0])
def test_a_format_for_squares_leaves_room_for_growth_and_no_more(largest):
    form = FixedPoint.for_squares(torch.tensor([0.0, -largest, largest / 2], dtype=torch.float64))
    assert form is not None and (16 * largest) ** 2 <= form.range <= 4 * (16 * largest) ** 2
    for unknown in (0.0, float("nan"), float("inf")):
        assert FixedPoint.for_squares(torch.tensor([unknown])) is None


@pytest.mark.parametrize(("value", "fits"), [(LIMIT - 1, True), (LIMIT, False), (-LIMIT, False)])
def test_headroom(value, fits):
    assert in_range(torch.tensor([0, value])) == fits


def columns(**values):
    return {name: torch.tensor(column, dtype=torch.float64) for name, column in values.items()}


def test_momentum_becomes_the_fraction_that_is_used():
    settled, (n, d) = Retention("momentum").settle(columns(momentum=[0.9, 0.91234]), 1000)
    assert (n[0], d[0]) == (9, 10) and int(d[1]) <= 1000
    assert torch.equal(settled["momentum"], n.double() / d)
    assert settled["momentum"][1] != 0.91234


def test_decoupled_decay_becomes_the_fraction_that_is_used():
    given = columns(learning_rate=[0.1, 1e-5, 0.0, 0.1], weight_decay=[0.05, 0.01, 0.3, 0.0])
    settled, (n, d) = DecoupledDecay("decay").settle(given, 1000)
    assert list(zip(n.tolist(), d.tolist(), strict=True))[::2] == [(199, 200), (1, 1)]
    torch.testing.assert_close(
        1 - settled["learning_rate"] * settled["weight_decay"], n.double() / d, rtol=1e-15, atol=0
    )
    torch.testing.assert_close(settled["weight_decay"], given["weight_decay"], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("factor", "values", "words"),
    [
        (Retention("momentum"), {"momentum": [0.9, 0.0]}, "momentum is 0 at step 1"),
        (Retention("beta1"), {"beta1": [1.0]}, "beta1 is 1 at step 0"),
        (
            DecoupledDecay("decay"),
            {"learning_rate": [2.0], "weight_decay": [0.5]},
            r"learning_rate \* weight_decay is 1 at step 0",
        ),
    ],
    ids=["zero", "one", "decay"],
)
def test_values_that_lose_a_slot(factor, values, words):
    with pytest.raises(ValueError, match=rf"{words}.*Reverse\(store='checkpoint'\)"):
        factor.settle(columns(**values), 1000)
