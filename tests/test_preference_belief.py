"""Beliefs: draws, Bayes' rule against a grid, rejuvenation, what is refused."""

import itertools
import math

import numpy as np
import pytest
import torch

from nongreedy.preference import (
    Belief,
    ContradictionError,
    Gaussian,
    KnownNoise,
    Mixture,
    Noiseless,
    Probit,
    Query,
    Tradeoffs,
    UncertainNoise,
)
from nongreedy.preference._rejuvenation import rejuvenated, systematic
from nongreedy.protocols import generator

from .preference_cases import RESPONSES, normal, some_belief, two_kinds

AXIS = torch.linspace(-5, 5, 401, dtype=torch.float64)
GRID = torch.cartesian_prod(AXIS, AXIS)
PRIORS = [Gaussian([0.5, -0.5], [[1.0, 0.3], [0.3, 0.5]]), two_kinds()]


def asked(count, seed, attributes=2, slots=2):
    return [Query(normal(seed * 100 + k, slots, attributes)) for k in range(count)]


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
@pytest.mark.parametrize("response", RESPONSES, ids=repr)
def test_the_posterior_is_that_of_a_grid(prior, response):
    noise, queries, choices = 0.7, asked(6, 3), [0, 1, 1, 0, 1, 0]
    if isinstance(response, Noiseless):  # answers that somebody could have given
        choices = [int((q.points @ torch.tensor([0.4, -0.3]).double()).argmax()) for q in queries]
    density = prior.log_density(GRID).exp()
    for query, choice in zip(queries, choices, strict=True):
        chances = response.probabilities(query.points @ GRID.T, torch.tensor(noise))
        density = density * chances[choice]
    density /= density.sum()
    mean = density @ GRID
    spread = ((GRID - mean).square() * density[:, None]).sum(0).sqrt()
    belief = Belief(prior, response, noise, samples=4000, seed=1)
    for query, choice in zip(queries, choices, strict=True):
        belief = belief.updated(query, choice)
    assert belief.effective_samples >= 2000 and len(belief.answers) == 6
    found = ((belief.utilities - belief.mean).square() * belief.weights[:, None]).sum(0).sqrt()
    torch.testing.assert_close(belief.mean, mean, rtol=0, atol=float(0.08 * spread.max()))
    torch.testing.assert_close(found, spread, rtol=0.08, atol=0)


def test_noise_with_a_prior_is_learned_as_on_a_grid():
    query, choices = Query([[1.0], [0.0]]), [0] * 6 + [1] * 3
    u, z = torch.cartesian_prod(AXIS, AXIS).T
    tau = torch.exp(math.log(0.5) + z)
    density = torch.exp(-(u**2) / 2 - z**2 / 2)
    for choice in choices:
        density = density * torch.sigmoid((u if choice == 0 else -u) / tau)
    density /= density.sum()
    belief = Belief(Gaussian.standard(1), noise=UncertainNoise(0.5), samples=4000)
    for choice in choices:
        belief = belief.updated(query, choice)
    assert float(belief.mean) == pytest.approx(float(density @ u), abs=0.04)
    assert float(belief.weights @ belief.scales.log()) == pytest.approx(
        float(density @ tau.log()), abs=0.08
    )


@pytest.mark.parametrize(
    "prior", [Gaussian.standard(3), Gaussian([1.0, 2.0], [[2.0, 1.0], [1.0, 3.0]])]
)
def test_gaussian_draws_have_the_moments_exactly(prior):
    belief = Belief(prior, samples=100)
    torch.testing.assert_close(belief.mean, prior.mean)
    centred = belief.utilities - prior.mean
    torch.testing.assert_close(centred.T @ centred / 100, prior.covariance)


def test_parts_of_a_mixture_have_their_shares_for_any_number_of_samples():
    prior = Mixture([Gaussian.standard(2), Gaussian([9.0, 0.0], torch.eye(2))], [0.9, 0.1])
    for samples in (10, 64, 200):
        belief = Belief(prior, samples=samples)
        assert float(belief.weights.sum()) == pytest.approx(1)
        assert float(belief.weights[belief.utilities[:, 0] > 4.5].sum()) == pytest.approx(
            0.1, abs=0.02
        )


def test_weights_of_tradeoffs_are_positive_of_sum_one_and_about_uniform():
    belief = Belief(Tradeoffs(3), samples=4000)
    assert bool((belief.utilities > 0).all())
    torch.testing.assert_close(belief.utilities.sum(1), torch.ones(4000).double())
    # Of uniform weights, the first is below 1/2 with probability 3/4.
    assert float((belief.utilities[:, 0] < 0.5).double().mean()) == pytest.approx(0.75, abs=0.04)


@pytest.mark.parametrize(("response", "slots"), [(r, k) for r, k in itertools.product(RESPONSES, (2, 3))
                                                 if not (isinstance(r, Probit) and k == 3)])  # fmt: skip
def test_probabilities_are_those_of_drawn_answers(response, slots):
    utilities = normal(7, slots, 1)
    chances = response.probabilities(utilities, torch.tensor([0.8]))[:, 0]
    assert float(chances.sum()) == pytest.approx(1)
    source = np.random.default_rng(0)
    values = utilities[:, 0].numpy()
    noise = {"Logistic": source.gumbel(size=(100_000, slots)) * 0.8,
             "Probit": source.normal(size=(100_000, slots)) * 0.8}  # fmt: skip
    drawn = (values + noise.get(type(response).__name__, 0.0) * np.ones((100_000, slots))).argmax(1)
    if type(response).__name__ == "ConstantError":
        wrong = source.random(100_000) < response.error
        drawn = np.where(wrong, source.integers(slots, size=100_000), drawn)
    shares = np.bincount(drawn, minlength=slots) / 100_000
    np.testing.assert_allclose(chances.numpy(), shares, atol=0.006)


def test_the_same_answers_give_the_same_samples_and_a_twin_has_others():
    def after(seed):
        belief = some_belief(seed)
        for query in asked(5, 9, attributes=4):
            belief = belief.updated(query, 0)
        return belief

    one, two = after(3), after(3)
    assert torch.equal(one.utilities, two.utilities) and torch.equal(one.weights, two.weights)
    twin = one.twin()
    assert [a.query for a in twin.answers] == [a.query for a in one.answers]
    assert not torch.isin(twin.utilities, one.utilities).any()
    assert len(one.twin(1000).weights) == 1000


def test_an_answer_leaves_the_belief_that_it_updates_as_it_was():
    belief = some_belief()
    before = belief.utilities.clone(), belief.weights.clone()
    belief.updated(asked(1, 1, attributes=4)[0], 1)
    assert torch.equal(before[0], belief.utilities) and torch.equal(before[1], belief.weights)
    assert belief.answers == ()


def test_walks_do_not_leave_a_target_that_is_known():
    source = generator(5)
    start = torch.randn(2000, 3, generator=source, dtype=torch.float64) * 3 + 2
    scales = torch.tensor([0.1, 1.0, 5.0], dtype=torch.float64)
    target = lambda latents: -(latents / scales).square().sum(1) / 2  # noqa: E731
    weights = torch.softmax(target(start) + (start - 2).square().sum(1) / 18, 0)
    walked = rejuvenated(start, weights, target, source)
    torch.testing.assert_close(walked.std(0), scales, rtol=0.1, atol=0)
    assert bool((walked.mean(0).abs() < 0.15 * scales).all())
    assert len(walked.unique(dim=0)) > 1900


def test_systematic_draws_are_as_often_as_weights_ask():
    weights = torch.tensor([0.5, 0.25, 0.2, 0.05], dtype=torch.float64).repeat(25) / 25
    drawn = systematic(weights, generator(1)).bincount(minlength=100)
    assert bool(((drawn - 100 * weights).abs() < 1).all())


def test_the_region_holds_its_share_of_the_samples():
    belief = some_belief(samples=1000)
    held = sum(belief.covers(utility) for utility in belief.utilities)
    assert held == pytest.approx(900, abs=2)


REFUSED = [
    (lambda: Gaussian([0.0, float("nan")], torch.eye(2)), "`mean` must be finite, but is nan at .1,."),
    (lambda: Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "positive definite.*-0.99"),
    (lambda: Gaussian([0.0], torch.eye(2)), r"must have the shape \(1, 1\), but has \(2, 2\)"),
    (lambda: Mixture([Gaussian.standard(2)], [0.0]), "positive number for each of 1 parts.*0.0"),
    (lambda: Mixture([Gaussian.standard(2), Gaussian.standard(3)], [1, 1]), r"\[2, 3\]"),
    (lambda: Tradeoffs(1), "at least 2"),
    (lambda: KnownNoise(0), "Noiseless"),
    (lambda: Belief(Gaussian.standard(5), samples=18), "at least 20, but got 18"),
    (lambda: Belief(Gaussian.standard(2), samples=11), "even.*11"),
    (lambda: Query([[1.0, 2.0]]), "at least two items"),
    (lambda: Query([[1.0, 2.0], [1.0, 2.0]]), "identical"),
    (lambda: Query([[1.0, float("inf")], [1.0, 2.0]]), "finite"),
    (lambda: Query([[1.0, 2.0], [1.0, 3.0]], None, (2,)), "below 2, but got"),
    (lambda: Query([[1.0, 2.0], [1.0, 3.0]], None, (0,)), "identical"),
    (lambda: some_belief().updated(Query([[1.0], [2.0]]), 0), "1 attributes, the belief 4"),
    (lambda: some_belief().updated(Query(torch.eye(4)), 4), "from 0 to 3, but got 4"),
    (lambda: some_belief(response=Probit()).updated(Query(torch.eye(4)), 0), "pairs.*slate of 4"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_none_is_refused_with_the_way_out(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_an_impossible_answer_is_refused_and_nothing_is_lost():
    belief = Belief(Tradeoffs(2), Noiseless(), samples=100)
    better = Query([[1.0, 1.0], [0.0, 0.0]])
    with pytest.raises(ContradictionError, match=r"None of 100 samples.*Logistic"):
        belief.updated(better, 1)
    assert belief.updated(better, 0).effective_samples == pytest.approx(100)
