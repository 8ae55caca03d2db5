"""Approximate search: its recall is what it says, and what it costs is recall alone."""

import gc
import weakref

import pytest
import torch

from nongreedy.errors import MissingExtraError
from nongreedy.preference import Belief, Catalogue, Gaussian
from nongreedy.preference.strategies import Approximate, RecallWarning, Relaxed, _approximate
from nongreedy.protocols import generator

from .extras import needs
from .preference_cases import normal

KINDS = [*_approximate.KINDS]


def exact_share(items, directions, places):
    best = (directions @ items.points.T).max(1).values
    return float(((directions * items.points[places]).sum(1) >= best - 1e-12).double().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_the_recall_is_measured_and_reaches_its_bound(kind):
    needs("faiss")
    items, directions = Catalogue(normal(1, 5000, 8)), normal(2, 400, 8)
    index = Approximate(kind, recall=0.9, sample=400).index(items)
    places = index.best(directions, generator(3))
    assert index.measured == exact_share(items, directions, places) >= 0.9
    few = Approximate(kind, recall=0.9, sample=100).index(items)
    places = few.best(directions, generator(3))
    # The others' recall is the sample's, within three standard errors of a share of 0.9 in 100.
    assert exact_share(items, directions, places) >= 0.81 and few.measured >= 0.9


def test_the_effort_is_doubled_until_the_recall_is_reached():
    needs("faiss")
    items, directions = Catalogue(normal(1, 20_000, 24)), normal(2, 200, 24)
    efforts = []
    for recall in (0.3, 0.9, 1.0):
        index = Approximate(recall=recall, sample=200).index(items)
        places = index.best(directions, generator(3))
        assert exact_share(items, directions, places) >= recall
        efforts.append(index.effort)
    assert efforts[0] < efforts[1] <= efforts[2] and efforts[0] == 16


def test_where_no_effort_helps_the_search_is_exact_and_says_so(monkeypatch):
    needs("faiss")
    items, directions = Catalogue(normal(1, 300, 4)), normal(2, 50, 4)
    index = Approximate().index(items)
    # An index that always finds the first item.
    monkeypatch.setattr(
        _approximate.Index,
        "_found",
        lambda self, given: (
            given @ self.items.points[0],
            torch.zeros(len(given), dtype=torch.long),
        ),
    )
    with pytest.warns(RecallWarning, match=r"finds \d+% of the best items.*lower `recall`"):
        places = index.best(directions, generator(3))
    assert torch.equal(places, items.best(directions)[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_is_as_good_and_values_stay_exact(kind):
    needs("faiss")
    from nongreedy.preference import evoi

    belief, items = Belief(Gaussian.standard(6), samples=200), Catalogue(normal(4, 4000, 6))
    exact = Relaxed().choose(belief, items, 2, 0)
    strategy = Relaxed(search=Approximate(kind, recall=1.0, sample=201))
    found = strategy.choose(belief, items, 2, 0)
    assert strategy.choose(belief, items, 2, 0).members == found.members
    assert evoi(belief, found, items).value >= 0.9 * evoi(belief, exact, items).value
    assert strategy.search.index(items).measured == 1.0


def test_an_index_is_built_once_and_leaves_with_its_catalogue():
    needs("faiss")
    items = Catalogue(normal(1, 300, 4))
    assert Approximate().index(items) is Approximate().index(items)
    assert Approximate(recall=0.5).index(items) is not Approximate().index(items)
    gone = weakref.ref(items)
    del items
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("kind", KINDS)
def test_few_items_and_items_far_from_the_origin_are_found_too(kind):
    needs("faiss")
    for items in (Catalogue(normal(1, 3, 4)), Catalogue(1e3 + normal(1, 500, 4))):
        directions = normal(2, 20, 4)
        places = (
            Approximate(kind, recall=1.0, sample=20).index(items).best(directions, generator(0))
        )
        assert exact_share(items, directions, places) == 1.0


def test_what_it_cannot_be_is_said(monkeypatch):
    needs("faiss")
    with pytest.raises(ValueError, match="one of lists, graph, but got 'tree'"):
        Approximate("tree")
    with pytest.raises(ValueError, match=r"at most 1, but got 1\.5"):
        Approximate(recall=1.5)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"faiss-cpu, which is not .*'nongreedy\[faiss\]'"):
        Approximate()
