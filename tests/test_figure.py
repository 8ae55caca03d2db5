"""The picture of a search says what the search did."""

import math
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

import nongreedy as ng
from nongreedy.reports import _figure

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
    """Colour -> values of the stairs of a panel, in the order they were drawn."""
    return [(to_hex(p.get_edgecolor()), np.asarray(p.get_data().values)) for p in axis.patches]


def test_returned_schedule_is_drawn_dark_over_accepted_ones_only():
    axis = _figure._drawn(SCHEDULE, HISTORY, STEPS).axes[0]
    drawn = curves(axis)
    colour, values = drawn[-1]
    assert colour == _figure.RETURNED
    np.testing.assert_allclose(values, SCHEDULE.values(STEPS)["learning_rate"])
    # Two accepted predecessors, a white edge, the schedule; the rejected rate 1.0 is nowhere.
    assert len(drawn) == 4
    assert max(values.max() for _, values in drawn) == 0.04


@pytest.mark.parametrize(
    ("rates", "scale"),
    [([0.001, 0.1], "log"), ([0.05, 0.1], "linear"), ([0.0, 0.1], "linear")],
    ids=["decades", "alike", "zero"],
)
def test_axis_is_logarithmic_where_that_shows_more(rates, scale):
    axis = _figure._drawn(ng.Schedule.of(learning_rate=rates), [], STEPS).axes[0]
    assert axis.get_yscale() == scale
    low, high = axis.get_ylim()
    assert low <= min(rates)
    assert high >= max(rates)


def test_loss_panel_shows_every_finite_row_and_marks_the_origin():
    history = [*HISTORY, row(3, math.inf, accepted=False, learning_rate=[5.0], momentum=[0.9])]
    axis = _figure._drawn(SCHEDULE, history, STEPS).axes[-1]
    markers = [line for line in axis.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in markers[:-1]] == [0, 1, 2]
    marked = markers[-1]
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == (2, 0.5)
    assert [text.get_text() for text in axis.texts] == ["0.5"]


def test_origin_is_found_though_its_window_was_split_since():
    history = [row(0, 0.7, learning_rate=[0.1]), row(1, 0.6, learning_rate=[0.1, 0.2])]
    origin = _figure.origin(ng.Schedule.of(learning_rate=[0.1, 0.1]), history, STEPS)
    assert origin is history[0]


def test_a_search_without_a_finished_outer_step_can_be_drawn(tmp_path):
    assert _figure.schedule_figure(SCHEDULE, [], tmp_path / "a.png", STEPS).stat().st_size > 1000


def test_coefficients_of_linear_bases_are_joined_by_lines():
    curve = ng.Linear(3)
    schedule = ng.Schedule.initial(ng.SGD(learning_rate=curve, momentum=0.0).hyperparameters())
    schedule = schedule.with_coefficients({"learning_rate": SCHEDULE["learning_rate"].new_tensor(
        [0.0, 1.0, 0.0])})  # fmt: skip
    history = [row(0, learning_rate=[0.0, 2.0])]
    axis = _figure._drawn(schedule, history, STEPS).axes[0]
    assert not axis.patches
    np.testing.assert_allclose(axis.lines[0].get_ydata(), np.linspace(0, 2, STEPS))
    np.testing.assert_allclose(axis.lines[-1].get_ydata(), schedule.values(STEPS)["learning_rate"])
    assert [text.get_text() for text in axis.texts] == ["0", "0.97", "0"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_writes_the_format_of_the_suffix_and_leaves_settings_alone(tmp_path, suffix):
    before = dict(matplotlib.rcParams)
    path = _figure.schedule_figure(SCHEDULE, HISTORY, tmp_path / f"a{suffix}", STEPS)
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_hyperparameters(count, tmp_path):
    names = ["learning_rate", "momentum", "weight_decay", "epsilon"][:count]
    schedule = ng.Schedule.of(**{name: [0.5] * 20 for name in names})
    history = [replace(HISTORY[0], values={name: [0.5] for name in names})]
    figure = _figure._drawn(schedule, history, STEPS)
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
    assert _figure.number(value) == text
