"""Strategies: ours against exact enumeration, and all of them by one contract."""

import doctest
import itertools

import pytest
import torch

from benchmarks._preference_instances import SIZES, ratios
from benchmarks._preference_scale import step_seconds
from nongreedy import preference
from nongreedy.preference import Belief, Catalogue, Gaussian, Noiseless, Probit, Query
from nongreedy.preference._value import in_sample
from nongreedy.preference.strategies import (
    BestOfSlate,
    ChoiceInformation,
    DecisionValue,
    Exact,
    Greedy,
    Information,
    Listed,
    Partial,
    QueryIteration,
    Random,
    Relaxed,
    Strategy,
    Thompson,
    TopK,
)

from .preference_cases import normal, some_belief, sphere

ALL = [
    Exact(), Exact(BestOfSlate()), Greedy(), Greedy(BestOfSlate()), Greedy(Information()),
    Greedy(ChoiceInformation()), QueryIteration(), Random(), Relaxed(), Thompson(), TopK(),
]  # fmt: skip


@pytest.mark.parametrize("slots", [2, 3])
@pytest.mark.parametrize("strategy", ALL, ids=repr)
def test_a_strategy_asks_about_different_items_and_repeats_itself(strategy, slots):
    belief, items = some_belief(), sphere(1, 20, 4)
    query = strategy.choose(belief, items, slots, seed=3)
    assert isinstance(strategy, Strategy) and len(set(query.members)) == slots
    assert torch.equal(query.points, items.points[list(query.members)])
    assert strategy.choose(belief, items, slots, seed=3).members == query.members
    for wrong in (1, 21):
        with pytest.raises(ValueError, match="from 2 to the number of items, 20"):
            strategy.choose(belief, items, wrong, seed=3)


@pytest.mark.parametrize("strategy", ALL, ids=repr)
def test_two_items_are_one_question(strategy):
    query = strategy.choose(some_belief(), sphere(1, 2, 4), 2, seed=0)
    assert sorted(query.members) == [0, 1]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_rounding_and_swaps_reach_the_best_slate(size, seed):
    found = ratios(size, seed)
    assert found["relaxed"] >= 0.99 and found["relaxed"] >= found["greedy"] - 1e-12
    assert found["nearest"] <= 1 + 1e-12


def test_small_noise_is_reached_by_lowering_it():
    for seed in range(4):
        belief, items = some_belief(seed, noise=0.02, samples=300), sphere(seed, 60, 4)
        values = [
            float(in_sample(belief, s.choose(belief, items, 2, seed).points[None], items)[0])
            for s in (Relaxed(), Exact())
        ]
        assert values[0] >= 0.99 * values[1]


@pytest.mark.parametrize("response", [Noiseless(), Probit()], ids=repr)
def test_other_responses_are_followed_too(response):
    """Of tiny items, too: without noise there is no scale but theirs."""
    for seed, size in itertools.product(range(3), (1.0, 1e-3)):
        belief = some_belief(seed, response=response, noise=0.5 * size)
        items = Catalogue(size * sphere(seed, 40, 4).points)
        values = [
            float(in_sample(belief, s.choose(belief, items, 2, seed).points[None], items)[0])
            for s in (Relaxed(), Exact())
        ]
        assert values[0] >= 0.97 * values[1]


def test_of_many_items_few_are_looked_at_and_the_question_is_no_worse_than_greedy():
    belief, items = some_belief(attributes=6), Catalogue(normal(3, 3000, 6) / 6**0.5)
    values = [
        float(in_sample(belief, s.choose(belief, items, 2, 0).points[None], items)[0])
        for s in (Relaxed(), Greedy())
    ]
    assert values[0] >= values[1]


def test_enumeration_refuses_more_than_a_million_slates_and_greedy_many_items():
    belief = Belief(Gaussian.standard(2), samples=8)
    with pytest.raises(ValueError, match=r"1500 items have 1,124,250 slates of 2.*Relaxed"):
        Exact().choose(belief, Catalogue(normal(1, 1500, 2)), 2, 0)
    with pytest.raises(ValueError, match=r"at most 20,000, but got 20,001.*Relaxed"):
        Greedy().choose(belief, Catalogue(normal(1, 20_001, 2)), 2, 0)


def test_a_step_on_a_ball_does_not_know_how_many_items_there_are():
    """Ten times the items: a catalogue's step may take twelve times as long, a ball's no more than it did."""
    belief, times = Belief(Gaussian.standard(5), samples=64), {"catalogue": [], "ball": []}
    for count in (10_000, 100_000):
        items = Catalogue(normal(1, count, 5))
        for name, reach in (("catalogue", items), ("ball", items.relaxed)):
            times[name].append(step_seconds(belief, reach, items))
    assert times["catalogue"][1] / times["catalogue"][0] <= 12
    assert times["ball"][1] / times["ball"][0] <= 3


def test_a_list_is_asked_by_value_and_where_that_is_level_by_what_it_tells_of_the_choice():
    belief, items = some_belief(), sphere(1, 20, 4)
    queries = [Query(items.points[[a, b]], (a, b)) for a, b in itertools.combinations(range(8), 2)]
    best = max(queries, key=lambda query: float(in_sample(belief, query.points[None], items)[0]))
    assert Listed(queries).choose(belief, items, 2, 0) is best
    assert Listed(queries).choose(belief.updated(best, 0), items, 2, 0) is not best
    with pytest.raises(ValueError, match="All 1 questions"):
        Listed([best]).choose(belief.updated(best, 0), items, 2, 0)
    # Answers that are nearly coin tosses change no decision.
    noisy = some_belief(noise=100.0)
    assert max(float(in_sample(noisy, q.points[None], items)[0]) for q in queries) < 1e-12
    told, worth = (
        [
            float(criterion.scores(noisy, (q.points @ noisy.utilities.T)[:, None], items)[0])
            for q in queries
        ]
        for criterion in (ChoiceInformation(), DecisionValue())
    )
    assert Listed(queries).choose(noisy, items, 2, 0) is queries[told.index(max(told))]
    alone = Listed(queries, instead=None).choose(noisy, items, 2, 0)
    assert alone is queries[worth.index(max(worth))]  # of ties, which rounding breaks


def test_where_no_answer_changes_the_decision_ours_asks_what_tells_of_the_choice():
    belief, items = some_belief(noise=100.0), sphere(1, 20, 4)
    ours, exact = (
        Relaxed().choose(belief, items, 2, 0),
        Exact(ChoiceInformation()).choose(belief, items, 2, 0),
    )
    scores = [
        float(
            ChoiceInformation().scores(belief, (q.points @ belief.utilities.T)[:, None], items)[0]
        )
        for q in (ours, exact)
    ]
    assert scores[0] >= 0.95 * scores[1] > 0


@pytest.mark.parametrize(("attributes", "shown"), [(4, 1), (4, 2), (12, 3)])
def test_partial_questions_show_few_attributes_and_beat_random_ones(attributes, shown):
    belief = some_belief(attributes=attributes, samples=300, noise=0.1)
    items = Catalogue(torch.rand(30, attributes, dtype=torch.float64))
    query = Partial(shown).choose(belief, items, 2, 0)
    assert query.members is None and len(query.attributes) == shown
    rest = [k for k in range(attributes) if k not in query.attributes]
    assert float(query.points[:, rest].abs().max()) == 0
    low, high = items.points.amin(0), items.points.amax(0)
    inside = query.points[:, query.attributes]
    assert bool((inside >= low[list(query.attributes)] - 1e-12).all())
    assert bool((inside <= high[list(query.attributes)] + 1e-12).all())
    mask = torch.zeros(attributes, dtype=torch.float64)
    mask[list(query.attributes)] = 1
    random = items.points[torch.randint(30, (200, 2))] * mask
    assert float(in_sample(belief, query.points[None], items)[0]) > float(
        in_sample(belief, random, items).max()
    ) * (1 - 1e-9)


def test_partial_questions_need_attributes():
    with pytest.raises(ValueError, match="only 4"):
        Partial(5).choose(some_belief(), sphere(1, 5, 4), 2, 0)


@pytest.mark.parametrize(
    "room", [preference, preference.strategies], ids=lambda room: room.__name__
)
def test_examples_run(room):
    names = {name: getattr(preference, name) for name in preference.__all__}
    found = doctest.testmod(room, extraglobs={**names, "torch": torch})
    assert found.failed == 0 and found.attempted > 20
