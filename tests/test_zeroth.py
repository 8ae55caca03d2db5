"""Estimates of gradients from rewards: their means, their standard errors, and what they refuse."""

import math

import pytest
import torch

from nongreedy.bandits import Ball, Box, QuadraticBandit, SymmetricTensorBandit, zeroth
from nongreedy.protocols import Estimate, FeasibleSet, GradientSource, generator

D = 5


def homogeneous(degree, noise=0.0, seed=0):
    if degree == 2:
        return QuadraticBandit.planted(D, [1.0, -0.6], seed, noise)
    return SymmetricTensorBandit.planted(D, [1.0, 0.5], degree, seed, noise)


def gradient(problem, point):
    """By central differences of a plain loop."""
    rows = []
    for k in range(len(point)):
        step = torch.zeros_like(point)
        step[k] = 1e-6
        up, down = problem.mean((point + step)[None]), problem.mean((point - step)[None])
        rows.append((up - down) / 2e-6)
    return torch.cat(rows)


def point_of(seed):
    return Ball((D,)).sphere(1, generator(seed))[0]


def double_factorial(s):
    return math.prod(range(s, 0, -2))


def printed_mean(problem, degree, z, m, a):
    """BD1: E G = sum over odd s < p of C(p,s) (1-z)^(p-s) z^s s!! m^(-(s-1)/2) sum_j ... v_j."""
    if degree == 2:
        values, vectors = torch.linalg.eigh(problem.matrix)
    else:
        values, vectors = problem.values, problem.vectors
    inner, total = vectors.T @ a, torch.zeros(D, dtype=torch.float64)
    for s in range(1, degree, 2):
        scale = math.comb(degree, s) * (1 - z) ** (degree - s) * z**s
        scale *= double_factorial(s) * m ** (-(s - 1) / 2)
        total += scale * vectors @ (values * inner ** (degree - s))
    return total


@pytest.mark.parametrize("degree", [2, 3, 4])
def test_the_printed_estimator_has_the_mean_of_the_corrected_formula(degree):
    problem, a = homogeneous(degree, noise=0.1), point_of(3)
    estimator = zeroth.TwoPoint(degree, spread=8.0)  # hardly any direction is drawn again
    told = zeroth.FromRewards(problem.rewards, estimator).estimate(a, seed=1, budget=1_500_000)
    z = estimator.step
    expected = printed_mean(problem, degree, z, 8.0 * D, a)
    deviations = (z * told.gradient - expected) / (z * told.standard_error)
    assert float(deviations.abs().max()) < 3
    assert float(told.standard_error.max() * z / expected.norm()) < 0.02  # so that it could fail


def test_one_reward_alone_gives_half_the_gradient_of_a_quadratic():
    problem, a = homogeneous(2, noise=0.1), point_of(4)
    for spread in (1.5, 6.0):  # with many directions drawn again, and with hardly any
        source = zeroth.FromRewards(problem.rewards, zeroth.OnePoint(spread=spread))
        told = source.estimate(a, seed=2, budget=400_000)
        deviations = (told.gradient - gradient(problem, a) / 2) / told.standard_error
        assert float(deviations.abs().max()) < 3.5


@pytest.mark.parametrize("estimator", [zeroth.TangentSphere, zeroth.Orthonormal])
@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_the_recommended_estimators_are_unbiased_for_every_degree(degree, estimator):
    problem = homogeneous(degree, noise=0.2)
    for seed in (5, 6):
        a = point_of(seed)
        source = zeroth.FromRewards(problem.rewards, estimator(degree))
        told = source.estimate(a, seed, budget=200_000)
        deviations = (told.gradient - gradient(problem, a)) / told.standard_error
        assert float(deviations.abs().max()) < 4.0
        assert abs(float(told.value - problem.mean(a[None]))) < 0.2 * 4 / math.sqrt(200_000 / 9)


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_orthonormal_directions_are_exact_without_noise(degree):
    problem, a = homogeneous(degree), point_of(7)
    estimator = zeroth.Orthonormal(degree)
    least = estimator.least(D)
    told = zeroth.FromRewards(problem.rewards, estimator).estimate(a, seed=0, budget=least)
    torch.testing.assert_close(told.gradient, gradient(problem, a), rtol=1e-8, atol=1e-8)
    assert told.cost == least and float(told.standard_error.max()) == 0


ESTIMATORS = [
    zeroth.OnePoint(), zeroth.TwoPoint(2), zeroth.TangentSphere(), zeroth.Orthonormal(),
]  # fmt: skip


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_standard_errors_are_those_of_repeated_estimates(estimator):
    problem, a = homogeneous(2, noise=0.5), point_of(8)
    source = zeroth.FromRewards(problem.rewards, estimator)
    assert isinstance(source, GradientSource)
    told = [source.estimate(a, seed, budget=400) for seed in range(200)]
    spread = torch.stack([each.gradient for each in told]).std(0)
    said = torch.stack([each.standard_error for each in told]).square().mean(0).sqrt()
    torch.testing.assert_close(said, spread, rtol=0.25, atol=0.0)
    assert all(each.cost <= 400 for each in told)
    again = source.estimate(a, seed=3, budget=400)
    assert torch.equal(again.gradient, told[3].gradient)


def test_the_tangent_sphere_has_more_signal_for_its_noise_than_the_printed_estimator():
    problem, a = homogeneous(2, noise=1.0), point_of(9)
    ratios = []
    for estimator in (zeroth.OnePoint(), zeroth.TangentSphere()):
        told = zeroth.FromRewards(problem.rewards, estimator).estimate(a, seed=0, budget=100_000)
        # The printed one estimates half the gradient.
        scale = 2 if isinstance(estimator, zeroth.OnePoint) else 1
        ratios.append(float((scale * told.standard_error).square().sum()))
    assert ratios[0] > 2.5 * ratios[1]


@pytest.mark.parametrize("degree", range(1, 8))
def test_riesz_gives_the_slope_of_every_homogeneous_polynomial_from_weights_that_add_up_to_p(
    degree,
):
    angles, weights = zeroth.riesz(degree)
    assert len(angles) == degree and math.isclose(float(weights.abs().sum()), degree)
    coefficients = torch.randn(degree + 1, dtype=torch.float64)  # of cos^(p-k) sin^k
    powers = torch.arange(degree + 1)
    values = (
        angles.cos()[:, None] ** (degree - powers) * angles.sin()[:, None] ** powers @ coefficients
    )
    assert math.isclose(float(weights @ values), float(coefficients[1]), abs_tol=1e-10)


@pytest.mark.parametrize(
    ("estimator", "point", "budget", "said"),
    [
        (zeroth.TangentSphere(), torch.ones(4), 100, "unit sphere"),
        (zeroth.TangentSphere(), torch.eye(3), 100, "unit sphere"),
        (
            zeroth.Orthonormal(),
            torch.eye(9)[0],
            17,
            "at least 18 plays in 9 dimensions, but got 17",
        ),
        (zeroth.OnePoint(), torch.eye(2)[0], -1, "`budget` must be a positive"),
    ],
)
def test_what_cannot_be_estimated_is_refused(estimator, point, budget, said):
    source = zeroth.FromRewards(lambda actions, noise: actions[:, 0], estimator)
    with pytest.raises(ValueError, match=said):
        source.estimate(point, seed=0, budget=budget)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_rewards_that_are_not_finite_are_refused(bad):
    source = zeroth.FromRewards(lambda actions, noise: actions[:, 0] * bad, zeroth.TangentSphere())
    with pytest.raises(ValueError, match="Rewards must be finite"):
        source.estimate(torch.eye(3)[0], seed=0, budget=50)


# ---- a black box in a box ------------------------------------------------------------------------


def noisy_bowl(point, seed):
    """Its noise is common to both sides of a pair."""
    shared = float(torch.randn((), generator=generator(seed), dtype=torch.float64))
    return (
        float((point - torch.tensor([0.3, 5.0], dtype=torch.float64)).square().sum()) + 10 * shared
    )


BOX = Box(torch.zeros(2), torch.tensor([1.0, 20.0]), whole=torch.tensor([False, True]))


def test_common_random_numbers_cancel_in_pairs():
    source = zeroth.CommonPairs(noisy_bowl, BOX)
    assert isinstance(source, GradientSource) and isinstance(BOX, FeasibleSet)
    told = source.estimate(torch.tensor([0.5, 8.0], dtype=torch.float64), seed=0, budget=8)
    expected = torch.tensor([0.4, 6.0], dtype=torch.float64)
    torch.testing.assert_close(told.gradient, expected, rtol=1e-9, atol=1e-9)
    assert told.cost == 8 and float(told.standard_error.max()) < 1e-6


def test_at_a_bound_the_slope_is_that_of_the_chord_inside():
    asked = []

    def function(point, seed):
        asked.append(point.clone())
        return float(point[1] ** 2)

    told = zeroth.CommonPairs(function, BOX).estimate(torch.tensor([0.0, 20.0]), seed=0, budget=4)
    assert all(torch.equal(BOX.round(point), point) for point in asked)
    assert float(told.gradient[1]) == pytest.approx((20.0**2 - 18.0**2) / 2)


def test_with_fewer_pairs_than_coordinates_the_mean_over_seeds_is_right():
    source = zeroth.CommonPairs(noisy_bowl, BOX, price=0.5, unit="plain runs")
    told = [
        source.estimate(torch.tensor([0.5, 8.0], dtype=torch.float64), seed, budget=1)
        for seed in range(400)
    ]
    mean = torch.stack([each.gradient for each in told]).mean(0)
    torch.testing.assert_close(mean, torch.tensor([0.4, 6.0]).double(), rtol=0.2, atol=0.0)
    assert {each.cost for each in told} == {1.0} and source.unit == "plain runs"
    assert isinstance(told[0], Estimate) and math.isinf(float(told[0].standard_error.max()))


@pytest.mark.parametrize(
    ("point", "budget", "said"),
    [
        ([2.0, 3.0], 8, "must lie in"),
        ([0.5], 8, "must lie in"),
        ([0.5, 3.0], 1.9, "A pair costs 2 calls, but `budget` is 1.9"),
    ],
)
def test_a_black_box_is_not_asked_for_the_impossible(point, budget, said):
    with pytest.raises(ValueError, match=said):
        zeroth.CommonPairs(noisy_bowl, BOX).estimate(torch.tensor(point), seed=0, budget=budget)


def test_bounds_that_hold_no_setting_are_refused():
    for low, high in (([1.0], [0.0]), ([0.0], [math.inf]), ([0.2], [0.8])):
        with pytest.raises(ValueError):
            Box(torch.tensor(low), torch.tensor(high), whole=torch.tensor([True]))
