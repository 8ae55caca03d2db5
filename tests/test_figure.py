"""The picture of a search says what the search did."""

import math
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

import nongreedy as ng
from nongreedy.reports import schedule_figure
from nongreedy.schedules._drawing._palette import RETURNED
from nongreedy.search._words import number

STEPS = 40


def row(index, loss=1.0, accepted=True, **values):
    return ng.OuterStep(index, loss, None, values, {}, 1.0, float(index), accepted)


HISTORY = [
    row(0, 2.0, learning_rate=[0.001], momentum=[0.5]),
    row(1, 9.0, accepted=False, learning_rate=[1.0], momentum=[0.99]),
    row(2, 0.5, learning_rate=[0.04, 0.01], momentum=[0.9]),
]
SCHEDULE = ng.Schedule.of(learning_rate=[0.04, 0.01], momentum=0.9)


def curves(axis):
    """Colour -> values of the stairs of a panel at every step, in the order they were drawn."""
    stairs = [line for line in axis.lines if line.get_drawstyle() == "steps-post"]
    at = np.arange(STEPS) + 0.5
    return [
        (line.get_color(), line.get_ydata()[np.searchsorted(line.get_xdata(), at) - 1])
        for line in sorted(stairs, key=lambda line: line.get_zorder())
    ]


def test_returned_schedule_is_drawn_dark_over_accepted_ones_only():
    axis = schedule_figure(SCHEDULE, HISTORY, STEPS).axes[0]
    drawn = curves(axis)
    colour, values = drawn[-1]
    assert colour == RETURNED
    np.testing.assert_allclose(values, SCHEDULE.values(STEPS)["learning_rate"])
    # Two accepted predecessors and the schedule; the rejected rate 1.0 is nowhere.
    assert len(drawn) == 3
    assert max(values.max() for _, values in drawn) == 0.04
    assert axis.lines[-1].get_path_effects()  # a white edge, where it covers its predecessors


@pytest.mark.parametrize(
    ("rates", "scale"),
    [([0.001, 0.1], "log"), ([0.05, 0.1], "linear"), ([0.0, 0.1], "linear")],
    ids=["decades", "alike", "zero"],
)
def test_axis_is_logarithmic_where_that_shows_more(rates, scale):
    axis = schedule_figure(ng.Schedule.of(learning_rate=rates), [], STEPS).axes[0]
    assert axis.get_yscale() == scale
    low, high = axis.get_ylim()
    assert low <= min(rates)
    assert high >= max(rates)


def test_loss_panel_shows_every_finite_row_and_marks_the_origin():
    history = [*HISTORY, row(3, math.inf, accepted=False, learning_rate=[5.0], momentum=[0.9])]
    axis = schedule_figure(SCHEDULE, history, STEPS).axes[-1]
    *rows, marked = sorted(axis.collections, key=lambda points: points.get_zorder())
    places = [[*points.get_offsets().T] for points in rows]
    shown = {int(x): float(y) for points in places for x, y in zip(*points, strict=True)}
    assert shown.pop(3) == 0.96  # the one that diverged: at the upper edge
    assert shown == {0: 2.0, 1: 9.0, 2: 0.5}
    assert marked.get_offsets().tolist() == [[2, 0.5]]
    assert to_hex(marked.get_facecolor()[0]) == RETURNED
    assert [text.get_text() for text in axis.texts] == ["0.5"]


def test_origin_is_found_though_its_window_was_split_since():
    history = [row(0, 0.7, learning_rate=[0.1]), row(1, 0.6, learning_rate=[0.1, 0.2])]
    figure = schedule_figure(ng.Schedule.of(learning_rate=[0.1, 0.1]), history, STEPS)
    marked = max(figure.axes[-1].collections, key=lambda points: points.get_zorder())
    assert marked.get_offsets().tolist() == [[0, 0.7]]


def test_a_search_without_a_finished_outer_step_can_be_drawn(tmp_path):
    schedule_figure(SCHEDULE, [], STEPS).savefig(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_coefficients_of_linear_bases_are_joined_by_lines():
    curve = ng.Linear(3)
    schedule = ng.Schedule.initial(ng.SGD(learning_rate=curve, momentum=0.0).hyperparameters())
    schedule = schedule.with_coefficients({"learning_rate": SCHEDULE["learning_rate"].new_tensor(
        [0.0, 1.0, 0.0])})  # fmt: skip
    history = [row(0, learning_rate=[0.0, 2.0])]
    axis = schedule_figure(schedule, history, STEPS).axes[0]
    assert not axis.patches
    np.testing.assert_allclose(axis.lines[0].get_ydata(), np.linspace(0, 2, STEPS))
    np.testing.assert_allclose(axis.lines[-1].get_ydata(), schedule.values(STEPS)["learning_rate"])
    assert [text.get_text() for text in axis.texts] == ["0", "0.97", "0"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_writes_the_format_of_the_suffix_and_leaves_settings_alone(tmp_path, suffix):
    before = dict(matplotlib.rcParams)
    path = tmp_path / f"a{suffix}"
    schedule_figure(SCHEDULE, HISTORY, STEPS).savefig(path)
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_hyperparameters(count, tmp_path):
    names = ["learning_rate", "momentum", "weight_decay", "epsilon"][:count]
    schedule = ng.Schedule.of(**{name: [0.5] * 20 for name in names})
    history = [replace(HISTORY[0], values={name: [0.5] for name in names})]
    figure = schedule_figure(schedule, history, STEPS)
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert titles == [*(name.replace("_", " ") for name in names), "validation loss"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0672, "0.067"),
        (5e-4, "5e-4"),
        (1.5e-5, "1.5e-5"),
        (0, "0"),
        (1.0, "1"),
        (2500.0, "2500"),
        (2e10, "2e10"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
