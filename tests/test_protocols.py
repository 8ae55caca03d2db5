"""What the wings share: fronts of rows, and knockouts on common seeds."""

import itertools
import random

import pytest

from nongreedy.protocols import front
from nongreedy.search import knockout

TWO = {"loss": lambda row: row[0], "ms": lambda row: row[1]}


@pytest.mark.parametrize("seed", range(20))
def test_a_front_holds_exactly_the_rows_that_none_beats(seed):
    draw = random.Random(seed)
    rows = [tuple(draw.randint(0, 6) for _ in range(3)) for _ in range(40)]
    wanted = {f"of {k}": lambda row, k=k: row[k] for k in range(3)}

    def beats(a, b):
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    unbeaten = [row for row in rows if not any(beats(other, row) for other in rows)]
    assert front(rows, wanted) == list(dict.fromkeys(unbeaten))


def test_a_front_names_what_it_cannot_compare():
    with pytest.raises(ValueError, match=r"'ms' must be finite, but is nan in \(1, nan\)"):
        front([(1, 2), (1, float("nan"))], TWO)
    with pytest.raises(ValueError, match="at least one number"):
        front([(1, 2)], {})
    assert front([], TWO) == []


def test_in_a_knockout_all_meet_on_the_same_seeds_and_the_worse_half_leaves():
    seen = []
    judge = lambda number, seed: seen.append((seed, number)) or number  # noqa: E731
    stood = list(knockout([5, 3, 4, 1, 2], judge, [[7, 8], [9], [10], [11]]))
    assert stood == [[1, 2, 3], [1, 2], [1]]
    by_seed = {
        seed: {n for _, n in group}
        for seed, group in itertools.groupby(sorted(seen), lambda x: x[0])
    }
    assert by_seed == {7: {1, 2, 3, 4, 5}, 8: {1, 2, 3, 4, 5}, 9: {1, 2, 3}, 10: {1, 2}}


def test_in_a_knockout_whoever_fails_is_out_and_where_all_fail_it_ends():
    fails = {("a", 0): float("nan"), ("b", 1): float("inf"), ("c", 1): float("inf")}
    judge = lambda who, seed: fails.get((who, seed), ord(who))  # noqa: E731
    assert list(knockout("abcd", judge, [[0], [1], [2]])) == [["b", "c"]]
    assert list(knockout("a", judge, [[0]])) == []


def test_a_knockout_judges_by_the_mean_of_all_rounds():
    values = {"a": [0.4, 0.8, 0.0], "b": [0.5, 0.5, 0.0], "c": [0.9], "d": [1.0]}
    *_, last = knockout("abcd", lambda who, seed: values[who][seed], [[0], [1]])
    assert last == ["b"]
