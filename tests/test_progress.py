"""What a search shows: a table that fits 80 columns, a time left that is right, lines for logs."""

import io
import logging
import subprocess
import sys

import pytest

import nongreedy as ng
from nongreedy.search import Budget, Callback, OuterStep, Outlook
from nongreedy.search.progress import Columns, Lines, TimeLeft, shown

from .study_runs import KillAt, Killed, search

# ---- time left --------------------------------------------------------------------------------------

# Seconds of an inner step of a sweep; of a plain run it is 1, and a sweep is counted as 3 of these.
PACES = {"sweeps quicker than counted": 2.0, "sweeps slower than counted": 4.0}
RECORDED = {
    "model": {"outer_steps": 10, "budget": None},
    "model, other seed": {"outer_steps": 10, "budget": None, "seed": 1},
    "model, budget": {"outer_steps": 10, "budget": 40.0},
    "model, budget that is not used": {"outer_steps": 30, "budget": 80.0},
    "agreement": {"outer": "agreement", "outer_steps": 6, "budget": None},
    "agreement, budget": {"outer": "agreement", "outer_steps": 30, "budget": 60.0},
    "paper": {"outer": "paper", "outer_steps": 10, "budget": None},
    "paper, budget": {"outer": "paper", "outer_steps": 30, "budget": 40.0},
}


class FakeClock(Callback):
    """Time passes by inner steps alone; what is predicted at the end of each outer step is kept."""

    def __init__(self):
        self.now, self.pace, self.told, self.end = 0.0, 1.0, [], 0.0
        self.sweep = 3.0

    def on_begin(self, outlook):
        self.left = TimeLeft(outlook)

    def on_run_start(self, label, steps):
        del steps
        self.pace = self.sweep if label == "hypergradient" else 1.0

    def on_inner_step(self, step, steps):
        del step, steps
        self.now += self.pace

    def on_outer_step(self, row):
        self.left.add(row)
        self.told.append((self.now, self.left.seconds))

    def on_result(self, result):
        del result
        self.end = self.now


@pytest.fixture
def clock(monkeypatch):
    """A clock in place of the machine's, wherever a search reads one."""
    fake = FakeClock()
    monkeypatch.setattr("nongreedy.search._objective.time.perf_counter", lambda: fake.now)
    monkeypatch.setattr("nongreedy.search._budget.time.monotonic", lambda: fake.now)
    return fake


@pytest.mark.parametrize("pace", PACES.values(), ids=PACES)
@pytest.mark.parametrize("settings", RECORDED.values(), ids=RECORDED)
def test_time_left_is_right_within_a_factor_of_two_from_the_second_outer_step_on(
    clock, settings, pace
):
    clock.sweep = pace
    result = search(callbacks=[clock], **settings)
    assert len(clock.told) == len(result.history) >= 3
    found = [left / (clock.end - now) for now, left in clock.told[1:] if clock.end > now]
    assert found and all(0.5 <= ratio <= 2.0 for ratio in found), found


def test_a_search_that_goes_on_tells_the_time_of_an_undisturbed_one(clock, tmp_path):
    search(callbacks=[clock], outer="paper", outer_steps=8)
    whole = [left for _, left in clock.told]
    clock.told, study = [], tmp_path / "s.db"
    with pytest.raises(Killed):
        search(study, callbacks=[clock, KillAt(70)], outer="paper", outer_steps=8)
    done = len(clock.told)
    assert 2 <= done < 8
    clock.told.clear()
    search(study, callbacks=[clock], outer="paper", outer_steps=8)
    assert [left for _, left in clock.told[:done]] == pytest.approx(whole[:done])


def outlook(**changed):
    given = {"sizes": {}, "outer_steps": 10, "budget": Budget(), "final": 12.0, **changed}
    return Outlook(**given)


def step(index, cost, seconds=1.0, **changed):
    values = {"learning_rate": [0.1]}
    return OuterStep(index, 0.5, None, values, {}, seconds, cost, True, **changed)


def test_a_rule_that_may_stop_early_is_foreseen_between_both_ends():
    budget = Budget()
    left = TimeLeft(outlook(patience=2, budget=budget))
    for index in range(3):
        budget.spend(6.0)
        left.add(step(index, budget.spent, 6.0))  # a second a plain run
    assert left.seconds == pytest.approx(((6 * 2 + 12) * (6 * 7 + 12)) ** 0.5)
    budget.spend(6.0)
    left.add(OuterStep(3, 0.5, None, {}, {}, 6.0, 24.0, False))  # one more would end it
    assert left.seconds == pytest.approx(((6 * 1 + 12) * (6 * 6 + 12)) ** 0.5)


def test_nothing_is_predicted_before_the_first_outer_step():
    left = TimeLeft(outlook())
    assert left.seconds is None
    left.add(step(0, 0.0))  # nothing was spent
    assert left.seconds is None


def test_the_smallest_limit_decides(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("nongreedy.search._budget.time.monotonic", lambda: now[0])
    budget = Budget(30.0, 8.0, 50.0)
    left = TimeLeft(outlook(budget=budget))
    for index in range(2):
        budget.spend(5.0)
        left.add(step(index, budget.spent, 10.0))  # 2 seconds a plain run
    assert left.seconds == pytest.approx(2 * 20.0)  # by the budget
    budget.spend(3.0)
    assert left.seconds == pytest.approx(2 * 17.0)
    now[0] += 45.0
    assert left.seconds == pytest.approx(5.0)  # by the time
    large = Budget(1000.0)
    short = TimeLeft(outlook(budget=large, outer_steps=3))
    for index in range(2):
        large.spend(4.0)
        short.add(step(index, large.spent, 2.0))
    assert short.seconds == pytest.approx((4.0 + 12.0) * 0.5)  # by the outer steps


# ---- the table --------------------------------------------------------------------------------------

LONG = {"learning_rate": 5, "momentum": 1, "weight_decay": 1}
MANY = {f"learning_rate[block {k}]": 4 for k in range(9)} | {"weights of examples": 5000}


@pytest.mark.parametrize("sizes", [LONG, {"learning_rate": 300}, MANY, {"beta1": 1}, {}])
@pytest.mark.parametrize("width", [60, 80, 132])
def test_rows_are_aligned_and_fit(sizes, width):
    columns = Columns(sizes, width)
    values = {n: [1.234e-5 * 1.7 ** (k % 20) for k in range(count)] for n, count in sizes.items()}
    signs = {n: "+-0" * (count // 3) + "+" * (count % 3) for n, count in sizes.items()}
    row = OuterStep(
        7, 1.23456, 0.98765, values, signs, 12345.6, 40.0, True,
        "by the model -0.0611 expected, -0.0335 found, by the model and gradients " * 2,
        validation_metrics={"f1": 0.5},
    )  # fmt: skip
    lines = [columns.header(), columns.line(row), *columns.notes(row)]
    assert max(map(len, lines)) <= width, lines
    assert columns.left_out == len(sizes) - len(columns.widths)
    # A column begins where its title does.
    for name, count in sizes.items():
        if name in columns.widths and count > 1:
            begin = columns.header().find(name.replace("_", " ")[:6])
            assert columns.line(row)[begin : begin + 6] == "1.2e-5"
    assert columns.notes(row)[0].startswith(" " * 7 + "f1 0.5, by the model -0.0611")


def test_values_are_shortened_to_first_and_last_and_never_to_something_else():
    row = step(0, 1.0)
    row.values["learning_rate"][:] = [0.32, 0.3, 0.25, 0.1, 0.0063]
    row.signs["learning_rate"] = "+--+-"
    narrow, wide = Columns(LONG, 80), Columns(LONG, 160)
    assert "0.32..0.0063 +--+-" in narrow.line(row)
    assert "0.32 0.3 0.25 0.1 0.0063 +--+-" in wide.line(row)


def test_what_has_no_room_is_counted():
    columns = Columns(MANY, 80)
    assert 0 < columns.left_out < len(MANY)


def test_the_table_of_a_search_fits_80_columns_in_a_pipe(environment):
    code = (
        "from tests.study_runs import search\nimport logging\nsearch(outer_steps=3, progress=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment, "COLUMNS": "80"}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    first, header, *rows = done.stderr.splitlines()
    assert first.startswith("engine: ") and header.split()[:2] == ["outer", "loss"]
    assert "\x1b" not in done.stderr and done.stdout == ""
    assert [line.split()[0] for line in rows if not line.startswith(" " * 7)][:3] == ["0", "1", "2"]
    assert max(map(len, [header, *rows[:-1]])) <= 80
    assert rows[-1].startswith("Completed: validation loss")


# ---- who shows it -----------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def names(watchers):
    return [type(each).__name__ for each in watchers]


def test_a_bar_in_a_terminal_lines_elsewhere(monkeypatch):
    monkeypatch.delenv("TERM", raising=False)
    for stream, out in ((Terminal(), io.StringIO()), (io.StringIO(), Terminal())):
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(sys, "stdout", out)
        (screen,) = shown(None)
        assert type(screen).__name__ == "Screen" and screen.console.file.isatty()  # pyright: ignore
        assert shown(False) == []
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert names(shown(None)) == ["Lines"] and names(shown(True)) == ["Screen"]
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert names(shown(None)) == names(shown(True)) == ["Lines"]
    with pytest.raises(ValueError, match="'bar'"):
        shown("bar")  # pyright: ignore


def test_each_outer_step_is_a_line_of_the_log_where_someone_listens(caplog):
    with caplog.at_level(logging.INFO, "nongreedy"):
        result = search(outer_steps=2)
    lines = [record.getMessage() for record in caplog.records if record.name == "nongreedy"]
    assert len(lines) == 3
    assert lines[0].startswith("outer step 1 of 2: validation loss ")
    assert "plain runs, about " in lines[1]
    assert result.gain is not None
    assert lines[2].startswith("Completed: validation loss") and result.gain.verdict in lines[2]


def test_lines_go_to_standard_error_where_nobody_configured_logging(environment):
    code = (
        "import logging\nfrom tests.study_runs import search\n"
        "search(outer_steps=1)\nlogger = logging.getLogger('nongreedy')\n"
        "assert not logger.handlers and logger.level == logging.NOTSET\n"
        "search(outer_steps=1, progress=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 2 and all(line.startswith("[nongreedy 2") for line in lines)
    assert done.stdout == ""


def test_what_is_configured_is_left_alone(monkeypatch):
    logger, handler = logging.getLogger("nongreedy"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        lines = Lines()
        lines.on_begin(outlook())
        assert logger.handlers == [handler]
        lines.on_end()
        assert logger.handlers == [handler]
    finally:
        logger.removeHandler(handler)


def test_a_terminal_shows_what_runs_how_long_yet_and_the_verdict(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.setattr("nongreedy.search.progress._screen.REFRESH", 0.0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    result = search(outer_steps=2)
    text = terminal.getvalue()
    for words in ("outer step 0 of 2, plain run", "last comparison, plain run", "about 1 s left"):
        assert words in text
    assert result.gain is not None
    assert "\x1b[" in text and result.gain.verdict[:20] in text


def test_callbacks_hear_the_beginning_and_the_end():
    heard = []

    class Listener(ng.Callback):
        def on_begin(self, outlook):
            heard.append(outlook)

        def on_result(self, result):
            heard.append(result)

    result = search(outer_steps=1, callbacks=[Listener()], progress=False)
    begun, ended = heard
    assert ended is result and begun.outer_steps == 1
    assert begun.sizes == {"learning_rate": 3, "momentum": 1, "weight_decay": 1}
    assert begun.budget.spent == result.cost
