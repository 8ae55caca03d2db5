"""Sets of items: support, projection, rounding, each against plain search."""

import pytest
import torch

from nongreedy.preference import Ball, Catalogue, Hull, _sets
from nongreedy.protocols import FeasibleSet

from .preference_cases import normal, sphere

POINTS = normal(1, 50, 3)
SETS = {
    "ball": Ball([0.5, 0.0, -0.5], 1.5),
    "catalogue": Catalogue(POINTS),
    "hull": Hull(Catalogue(POINTS)),
}


@pytest.mark.parametrize("kind", SETS)
def test_a_set_keeps_its_contract(kind):
    items = SETS[kind]
    assert isinstance(items, FeasibleSet)
    for direction in normal(2, 20, 3):
        value, member = items.support(direction)
        assert float(value) == pytest.approx(float(member @ direction))
        # Members of the set, many of them: none beats it.
        others = items.project(normal(3, 200, 3) * 3) if kind != "catalogue" else POINTS
        assert float((others @ direction).max()) <= float(value) + 1e-9
        torch.testing.assert_close(items.project(member), member, rtol=0, atol=1e-8)
    directions = normal(4, 2, 5, 3)
    values, members = items.support(directions)
    assert values.shape == (2, 5) and members.shape == (2, 5, 3)
    torch.testing.assert_close(values[1, 3], items.support(directions[1, 3])[0])


@pytest.mark.parametrize("kind", SETS)
def test_the_projection_is_the_nearest_point(kind):
    """Its gap makes an obtuse angle with every way into the (convex, relaxed) set."""
    items = SETS[kind]
    relaxed = items.relaxed if kind == "catalogue" else items
    for point in normal(5, 20, 3) * 2:
        nearest = items.project(point)
        assert (
            float(relaxed.support(point - nearest)[0]) <= float((point - nearest) @ nearest) + 1e-8
        )


def test_rounding_gives_the_nearest_items_and_different_ones():
    items = SETS["catalogue"]
    for point in normal(6, 20, 3):
        best = (POINTS - point).norm(dim=1).argmin()
        assert torch.equal(items.round(point), POINTS[best])
    same = POINTS[7].expand(3, 3)
    rounded = items.round(same)
    assert torch.equal(rounded[0], POINTS[7]) and len(rounded.unique(dim=0)) == 3
    order = (POINTS - POINTS[7]).norm(dim=1).argsort()[:3]
    assert items.nearest(POINTS[7], 3).tolist() == order.tolist()


def test_blocks_do_not_change_the_answer(monkeypatch):
    items, directions = Catalogue(normal(8, 5000, 4)), normal(9, 7, 4)
    whole = items.best(directions), items.nearest(directions, 5)
    monkeypatch.setattr(_sets, "_BLOCK", 1)
    assert len(list(items._blocks(7))) == 20
    assert all(torch.equal(a, b) for a, b in zip(items.best(directions), whole[0], strict=True))
    assert torch.equal(items.nearest(directions, 5), whole[1])


def test_the_ball_of_a_catalogue_holds_it():
    items = sphere(3, 40, 5)
    torch.testing.assert_close(items.project(items.points), items.points)
    far = (items.points - items.relaxed.centre).norm(dim=1).max()
    assert items.relaxed.radius == pytest.approx(float(far))


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([[1.0, 2.0]], "One item"),
        ([[1.0, 2.0]] * 3, "All 3 items are identical"),
        ([[1.0, float("nan")], [1.0, 2.0]], r"nan at \(0, 1\)"),
        ([1.0, 2.0], "2 dimensions"),
        ([["a", "b"]], "must be numbers"),
    ],
)
def test_what_is_no_catalogue_is_refused(points, said):
    with pytest.raises(ValueError, match=said):
        Catalogue(points)
