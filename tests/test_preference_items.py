"""Items from tables, trials and rows: scaled, with better above, and what is none refused."""

import warnings

import optuna
import pytest
import torch

import nongreedy as ng
from nongreedy.comparison import Piece
from nongreedy.preference import (
    Gaussian,
    Items,
    NoTradeoffError,
    Tradeoffs,
    either,
    larger,
    smaller,
)

from .preference_cases import ATTRIBUTES, TABLE, items

COLUMNS = {a.name: [row[k] for row in TABLE] for k, a in enumerate(ATTRIBUTES)}


class Frame:
    """As much of a data frame as is used."""

    columns = list(COLUMNS)  # noqa: RUF012

    def __getitem__(self, name):
        return iter(COLUMNS[name])


ROWS = [dict(zip(COLUMNS, row, strict=True)) for row in TABLE]
SHUFFLED = [{name: row[name] for name in reversed(row)} for row in ROWS]


@pytest.mark.parametrize(
    "table",
    [TABLE, torch.tensor(TABLE), COLUMNS, Frame(), ROWS, SHUFFLED],
    ids=lambda t: type(t).__name__,
)
def test_tables_of_all_kinds_are_the_same_items(table):
    made = Items.of(table, ATTRIBUTES)
    torch.testing.assert_close(
        made.catalogue.points, items().catalogue.points, rtol=1e-6, atol=1e-6
    )


def test_better_is_above_and_ratios_count_where_asked():
    made = Items.of([[1.0, 1.0, 5.0], [3.0, 10.0, 6.0], [2.0, 100.0, 9.0]],
                    [smaller("loss"), smaller("ms", log=True), larger("accuracy")])  # fmt: skip
    expected = torch.tensor(
        [[1.0, 1.0, 0.0], [0.0, 0.5, 0.25], [0.5, 0.0, 1.0]], dtype=torch.float64
    )
    torch.testing.assert_close(made.catalogue.points, expected)
    assert made.scaling() == [
        "loss: smaller is better; 0 at 3, 1 at 1",
        "ms: smaller is better, by ratios; 0 at 100, 1 at 1",
        "accuracy: larger is better; 0 at 5, 1 at 9",
    ]
    assert made.described(1) == "item 1: loss 3, ms 10, accuracy 6"
    for member in range(3):
        assert made.hypothetical(made.catalogue.points[member], None) in made.described(member)
    assert made.hypothetical(torch.tensor([0.0, 0.5, 0.0]), (1,)) == "ms 10, all else alike"


def test_what_is_the_same_or_beaten_is_left_out_and_counted():
    table = [[1.0, 2.0], [2.0, 1.0], [1.0, 2.0], [2.0, 2.0]]
    both = [smaller("a"), smaller("b")]
    assert (len(Items.of(table, both)), Items.of(table, both).left_out) == (3, 1)
    front = Items.of(table, both, ["w", "x", "y", "z"], only_front=True)
    assert front.names == ("w", "x") and front.left_out == 2


def test_the_first_belief_knows_which_side_is_better():
    assert isinstance(items().prior(), Tradeoffs)
    assert isinstance(Items.of(TABLE, [either("a"), *ATTRIBUTES[1:]]).prior(), Gaussian)


REFUSED = [
    (lambda: Items.of([[1.0, 2.0]], ATTRIBUTES[:2]), "1 item.*nothing to choose"),
    (lambda: Items.of([[1.0, 2.0]] * 4, ATTRIBUTES[:2]), "of which 1 differ"),
    (lambda: Items.of([[1.0, float("nan")], [1.0, 2.0]], ATTRIBUTES[:2]), r"nan at \(0, 1\)"),
    (lambda: Items.of(COLUMNS, [smaller("eror"), smaller("ms")]), "'eror'. Did you mean 'error'"),
    (lambda: Items.of([{"a": 1, "b": "x"}, {"a": 2, "b": 3}], [smaller("a"), smaller("b")]), "'x' in row 0"),
    (lambda: Items.of([{"a": 1, "b": 2}, {"a": 2}], [smaller("a"), smaller("b")]), "None in row 1"),
    (lambda: Items.of([[1.0, 2.0], [2.0, 2.0]], ATTRIBUTES[:2]), "'ms' is the same for all items"),
    (lambda: Items.of([[1.0, 0.0], [2.0, 2.0]], ATTRIBUTES[:2]), "'ms' has log=True.* is 0 in row 0, count"),
    (lambda: Items.of(TABLE, ATTRIBUTES[:1]), "at least two attributes"),
    (lambda: Items.of(TABLE, ATTRIBUTES[:2]), "2 attributes, but 3 columns"),
    (lambda: Items.of(TABLE, ATTRIBUTES, ["a"]), "6 items, but 1 `names`"),
    (lambda: Items.of(TABLE, [ATTRIBUTES[0], *ATTRIBUTES[:2]]), "repeat a name"),
    (lambda: Items.of(TABLE, [either("a"), *ATTRIBUTES[1:]], only_front=True), "either may be better"),
    (lambda: Items.of([], ATTRIBUTES), "something in each"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_none_is_refused_with_the_way_out(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_without_a_tradeoff_there_is_nothing_to_ask():
    with pytest.raises(
        NoTradeoffError, match=r"'b' is best in every attribute of 3 items: choose it"
    ):
        Items.of(
            [[2.0, 2.0], [1.0, 1.0], [3.0, 1.0]], ATTRIBUTES[:2], ["a", "b", "c"], only_front=True
        )


def study(directions, values, names=None):
    made = optuna.create_study(directions=directions)
    for row in values:
        made.add_trial(optuna.trial.create_trial(values=row, params={}, distributions={}))
    if names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            made.set_metric_names(names)
    return made


def test_a_study_brings_its_directions_names_and_front():
    made = Items.of_study(
        study(["maximize", "minimize"], [[0.9, 5], [0.8, 2], [0.7, 3]], ["accuracy", "ms"])
    )
    assert made.names == ("trial 0", "trial 1") and made.left_out == 0
    assert [(a.name, a.sign) for a in made.attributes] == [("accuracy", 1), ("ms", -1)]
    assert made.catalogue.points.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(NoTradeoffError, match="one objective"):
        Items.of_study(study(["minimize"], [[1.0]]))
    with pytest.raises(ValueError, match="No trial has values"):
        Items.of_study(study(["minimize", "minimize"], []))
    with pytest.raises(NoTradeoffError, match="Trial 0 is the only one: choose it"):
        Items.of_study(study(["minimize", "minimize"], [[1.0, 1.0], [2.0, 2.0]]))
    with pytest.raises(ValueError, match="no rows"):
        Items.of_rows([], {smaller("a"): len, smaller("b"): len})


def test_rows_of_a_comparison_are_items_by_what_is_read_of_them():
    pieces = [
        Piece(name, 0, cost, 0.0, {"test_loss": [loss, loss + 0.1]}, None, [], [], 1, 0, 1.0)
        for name, cost, loss in [
            ("default", 40.0, 0.30),
            ("cosine", 4.0, 0.35),
            ("random", 40.0, 0.4),
        ]
    ]
    rows = ng.Comparison(pieces, {}).rows()
    made = Items.of_rows(
        rows,
        {smaller("loss"): lambda row: row.mean, smaller("cost", log=True): lambda row: row.cost},
    )
    assert len(made) == 2 and made.left_out == 1
    assert any("default" in name for name in made.names)
