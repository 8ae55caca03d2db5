"""The value of a question: its gradient against differences, theory, standard errors."""

import itertools
import math

import pytest
import torch
from scipy.special import lambertw

from nongreedy.preference import (
    Ball,
    Belief,
    Catalogue,
    Gaussian,
    Logistic,
    Noiseless,
    PosteriorValue,
    Probit,
    Query,
    evoi,
)
from nongreedy.preference._expected import ascent, utilities_of
from nongreedy.preference._value import in_sample
from nongreedy.preference.strategies import (
    BestOfSlate,
    ChoiceInformation,
    DecisionValue,
    Exact,
    Greedy,
    Information,
)
from nongreedy.preference.strategies._greedy import iterated
from nongreedy.preference.strategies._strategy import asked, whole
from nongreedy.protocols import GradientSource

from .preference_cases import RESPONSES, normal, some_belief, sphere


def plain_value(belief, slate, items):
    """By loops over answers and items."""
    total = 0.0
    chances = belief.response.probabilities(slate @ belief.utilities.T, belief.scales)
    for answer in range(len(slate)):
        mean = sum(
            w * p * u
            for w, p, u in zip(belief.weights, chances[answer], belief.utilities, strict=True)
        )
        total += max(float(mean @ item) for item in items.points)
    return total


@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize("reach", ["catalogue", "ball"])
@pytest.mark.parametrize("response", [Logistic(), Probit()], ids=repr)
def test_the_envelope_gradient_is_that_of_differences(response, reach, slots):
    if slots == 3 and isinstance(response, Probit):
        pytest.skip("Probit answers pairs")
    belief, items = some_belief(response=response), sphere(1, 30, 4)
    items = items if reach == "catalogue" else items.relaxed
    slate, step = normal(2, slots, 4), 1e-6
    _, gradient = ascent(belief, slate[None], items, response)
    expected = torch.zeros_like(slate)
    for place in itertools.product(range(slots), range(4)):
        ends = []
        for sign in (1, -1):
            moved = slate.clone()
            moved[place] += sign * step
            ends.append(float(in_sample(belief, moved[None], items)[0]))
        expected[place] = (ends[0] - ends[1]) / (2 * step)
    error = (gradient[0] - expected).norm() / expected.norm()
    assert float(error) < 1e-6


def test_the_value_of_many_slates_is_that_of_loops():
    belief, items = some_belief(samples=40), sphere(1, 12, 4)
    slates = normal(3, 5, 3, 4)
    values = in_sample(belief, slates, items)
    now = max(float(belief.mean @ item) for item in items.points)
    for slate, value in zip(slates, values, strict=True):
        assert float(value) == pytest.approx(plain_value(belief, slate, items) - now, abs=1e-12)


@pytest.mark.parametrize("response", RESPONSES, ids=repr)
def test_no_question_has_a_negative_value(response):
    for seed in range(5):
        belief, items = some_belief(seed, response=response), sphere(seed, 20, 4)
        values = in_sample(belief, normal(seed, 200, 2, 4), items)
        assert float(values.min()) >= -1e-12


@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_theory_of_slates(seed, slots):
    """The best values with and without noise, greedy slates, and the logistic loss bound."""
    certain, items = some_belief(seed, response=Noiseless()), sphere(seed, 15, 4)
    noisy = some_belief(seed, noise=0.3)
    slates = torch.tensor(list(itertools.combinations(range(15), slots)))
    best = {c: whole(certain, items).best(c, slates)[1] for c in (DecisionValue(), BestOfSlate())}
    assert best[DecisionValue()] == pytest.approx(best[BestOfSlate()], abs=1e-12)
    greedy = Greedy(BestOfSlate()).choose(certain, items, slots, 0)
    found = whole(certain, items).scores(BestOfSlate(), torch.tensor([greedy.members]))
    lowest = float(whole(certain, items).scores(BestOfSlate(), slates).min())
    assert float(found[0]) >= lowest + (1 - 1 / math.e) * (best[BestOfSlate()] - lowest) - 1e-12
    # The slate that is best without noise loses at most tau * W((k - 1) / e) under it.
    chosen = whole(noisy, items).best(BestOfSlate(), slates)[0]
    loss = whole(noisy, items).best(DecisionValue(), slates)[1]
    loss -= float(whole(noisy, items).scores(DecisionValue(), chosen[None])[0])
    assert -1e-12 <= loss <= 0.3 * lambertw((slots - 1) / math.e).real


@pytest.mark.parametrize("seed", range(20))
def test_query_iteration_without_noise_never_falls(seed):
    belief, items = some_belief(seed, response=Noiseless()), sphere(seed, 25, 4)
    query, values = asked(items, [seed, (seed + 7) % 25, (seed + 11) % 25]), []
    for _ in range(6):
        utilities = utilities_of(belief, query.points[None])
        values.append(float(DecisionValue().scores(belief, utilities, items)[0]))
        assert values[-1] >= float(BestOfSlate().scores(belief, utilities, items)[0]) - 1e-12
        query = iterated(belief, items, query)
    assert all(b >= a - 1e-12 for a, b in itertools.pairwise(values))


def test_the_standard_error_is_that_of_many_fresh_samples():
    belief, items = some_belief(samples=400), sphere(1, 30, 4)
    query = Exact().choose(belief, items, 2, 0)
    values, errors = [], []
    for seed in range(200):
        fresh = Belief(belief.prior, noise=0.5, samples=400, seed=1000 + seed)
        found = evoi(belief, query, items, fresh)
        values.append(found.value)
        errors.append(found.standard_error)
    scatter = torch.tensor(values).std()
    # Antithetic, whitened draws scatter less than the error of independent ones says, never more.
    assert float(scatter) <= 1.1 * sum(errors) / 200
    exact = Belief(belief.prior, noise=0.5, samples=200_000, seed=5)
    truth = evoi(belief, query, items, exact).value
    assert sum(values) / 200 == pytest.approx(truth, abs=4 * float(scatter) / 200**0.5 + 0.002)
    assert found.in_sample > 0


def test_choosing_on_a_sample_is_optimistic_and_fresh_samples_tell():
    """Few samples in many dimensions."""
    gaps = []
    for seed in range(10):
        belief, items = (
            some_belief(seed, attributes=10, samples=40, noise=0.1),
            sphere(seed, 40, 10),
        )
        query = Exact().choose(belief, items, 2, 0)
        fresh = Belief(belief.prior, noise=0.1, samples=20_000, seed=99)
        found = evoi(belief, query, items, fresh)
        gaps.append(found.in_sample - found.value)
    assert sum(gaps) / 10 > 0.02


def test_repeats_of_a_pair_are_worth_what_independent_answers_are():
    belief, items = some_belief(samples=100, noise=1.0), sphere(1, 12, 4)
    query = Query(items.points[:2], (0, 1))
    now = float(items.support(belief.mean)[0])
    chances = belief.probabilities(query)
    total = 0.0
    for first, second, third in itertools.product((0, 1), repeat=3):
        joint = belief.weights * chances[first] * chances[second] * chances[third]
        total += float(items.support(joint @ belief.utilities)[0])
    assert evoi(belief, query, items, repeats=3).in_sample == pytest.approx(total - now, abs=1e-12)
    with pytest.raises(ValueError, match="Only pairs"):
        evoi(belief, Query(items.points[:3]), items, repeats=2)


def test_information_is_what_answers_tell_by_their_definition():
    belief, items = some_belief(samples=60), sphere(2, 10, 4)
    slate = items.points[:3]
    chances = belief.probabilities(Query(slate))
    mean = chances @ belief.weights
    best = [max(range(10), key=lambda k: float(u @ items.points[k])) for u in belief.utilities]
    told = told_of_best = 0.0
    for answer in range(3):
        for j in range(60):
            p = float(chances[answer, j])
            told += float(belief.weights[j]) * p * math.log(p / float(mean[answer]))
        for item in set(best):
            of = torch.tensor([item == k for k in best])
            share = float(belief.weights[of].sum())
            joint = float(belief.weights[of] @ chances[answer, of])
            told_of_best += joint * math.log(joint / share / float(mean[answer]))
    utilities = utilities_of(belief, slate[None])
    assert float(Information().scores(belief, utilities, items)[0]) == pytest.approx(told)
    found = float(ChoiceInformation().scores(belief, utilities, items)[0])
    assert found == pytest.approx(told_of_best) and found < told


def test_the_source_of_gradients_keeps_its_contract():
    belief, items = some_belief(samples=400), sphere(1, 30, 4)
    source, slate = PosteriorValue(belief, items), normal(2, 2, 4)
    assert isinstance(source, GradientSource)
    whole_, same = source.estimate(slate, 0, 800), source.estimate(slate, 1, 10_000)
    assert whole_.cost == same.cost == 800 and torch.equal(whole_.gradient, same.gradient)
    parts = [source.estimate(slate, seed, 100) for seed in range(100)]
    assert {part.cost for part in parts} == {100.0}
    scatter = torch.stack([part.gradient for part in parts]).std(0)
    said = torch.stack([part.standard_error for part in parts]).mean(0)
    torch.testing.assert_close(scatter, said, rtol=0.3, atol=0.005)
    with pytest.raises(ValueError, match="less than two samples"):
        source.estimate(slate, 0, 2)
    with pytest.raises(ValueError, match=r"Noiseless\(\) has no derivative"):
        PosteriorValue(some_belief(response=Noiseless()), items)


def test_a_ball_of_one_dimension_is_known_in_closed_form():
    """u ~ N(0, 1), items -1 and 1 without noise: the answer is worth E|u|."""
    belief = Belief(Gaussian.standard(1), Noiseless(), samples=100_000)
    for items in (Ball([0.0], 1.0), Catalogue([[-1.0], [1.0]])):
        found = evoi(belief, Query([[-1.0], [1.0]]), items)
        assert found.value == pytest.approx(math.sqrt(2 / math.pi), abs=0.01)
