"""The planner: its arithmetic on a made-up sample, its choice, its table."""

import dataclasses
import math

import pytest
import torch
from typer.testing import CliRunner

import nongreedy as ng
from nongreedy import planning as _planner
from nongreedy.cli import app
from nongreedy.engines import Run, _trajectory, engine_from
from nongreedy.planning import _choice as choice
from nongreedy.planning import _clock as clock
from nongreedy.planning import _forecast as forecast
from nongreedy.planning import _walk as walk
from nongreedy.planning._peak import watched
from nongreedy.planning._sample import Core, Integers, Piece, Storing, Tangents

from .helpers import tiny_task

MIB = 2**20
CPU = torch.device("cpu")
# 100 steps; a state of 1 MiB; writing and reading it back take 0.5 and 0.25.
CORE = Core(
    steps=100, parameters=MIB, state_bytes=MIB,
    step=Piece(1.0, 10 * MIB), back=Piece(2.0, 20 * MIB),
    look=Piece(5.0, 0), look_back=Piece(7.0, 0),
    stores={
        "device": Storing(),
        "checkpoint": Storing(replay=1.125),
        "disk": Storing(write=0.5, read=0.25),
    },
)  # fmt: skip
INTEGERS = Integers(Piece(1.5, 11 * MIB), Piece(1.75, 11 * MIB), Piece(2.5, 22 * MIB), limbs=2)
# One tangent at half of the steps, then three: a third of the way from 1 to 7.
TANGENTS = Tangents({1: 50, 3: 50}, {1: Piece(3.0, 12 * MIB), 7: Piece(15.0, 24 * MIB)})
# Engine -> (seconds, MiB): 12 seconds of looks, or 7 where there is only the last one.
EXPECTED = {
    "Reverse(store=Device())": (100 * (1 + 2) + 12, 20 + 100),
    "Reverse(store=Checkpoints(interval=None))": (100 * (1 + 1.125 + 2) + 12, 20 + 10 + 10),
    "Reverse(store=Disk(directory=None))": (100 * (1 + 0.5 + 0.25 + 2) + 12, 20 + 2),
    "Reversible": (100 * (1.5 + 1.75 + 2.5) + 12, 22 + 2 * 8 + 800 / MIB),
    "Forward": (50 * 3 + 50 * 7 + 7, 24),
    "FiniteDifference": ((1 + 2 * 3) * (100 * 1 + 5), 10),
}


class Made:
    """A walk whose measurements are made up; what was asked for is noted."""

    def __init__(self, core=CORE, integers=INTEGERS, tangents=TANGENTS):
        self.asked, self.found = [], {"core": core, "integers": integers, "tangents": tangents}

    def core(self, stores):
        return self._given("core")

    def integers(self):
        return self._given("integers")

    def tangents(self):
        return self._given("tangents")

    def _given(self, name):
        self.asked.append(name)
        if isinstance(self.found[name], BaseException):
            raise self.found[name]
        return self.found[name]


def rows_of(made):
    return tuple(forecast.forecasts(made, made.core([])))


def by_name(rows):
    return {next(n for n in EXPECTED if repr(row.engine).startswith(n)): row for row in rows}


@pytest.mark.parametrize("name", EXPECTED)
def test_arithmetic(name):
    row = by_name(rows_of(Made()))[name]
    seconds, memory = EXPECTED[name]
    assert row.seconds == pytest.approx(seconds) and row.bytes / MIB == pytest.approx(memory)
    assert not row.refused and "100 x" in row.arithmetic


def test_the_arithmetic_is_shown():
    shown = {name: row.arithmetic for name, row in by_name(rows_of(Made())).items()}
    assert shown["Reverse(store=Disk(directory=None))"] == (
        "100 x (1 s step + 0.5 s write + 0.25 s read + 2 s back) + 12 s validation"
    )
    assert shown["Forward"] == (
        "100 x 5 s with 1 to 3 tangents (3 s with 1, 15 s with 7) + 7 s validation"
    )
    assert shown["FiniteDifference"] == "7 runs x (100 x (1 s step) + 5 s validation)"


@pytest.mark.parametrize(("count", "seconds"), [(1, 2.0), (3, 4.0), (7, 20.0), (9, 28.0)])
def test_tangents_are_interpolated_between_neighbours_and_extended_beyond(count, seconds):
    points = {1: Piece(2.0, 0), 3: Piece(4.0, 0), 7: Piece(20.0, 10 * MIB)}
    row = forecast.forward(CORE, Tangents({count: 100}, points))
    assert row.seconds == pytest.approx(100 * seconds + 7)
    beyond = max(count - 7, 0)
    assert row.bytes / MIB == pytest.approx(10 + beyond * 10 / 6, abs=1e-5)


@pytest.mark.parametrize(
    ("started", "measured"),
    [
        ([3], [3]),
        ([1, 2], [1, 2]),
        ([3, 5, 9], [3, 6, 9]),
        ([57], [16, 24, 32]),
        ([2, 99], [2, 17, 32]),
    ],
)
def test_steps_are_measured_with_few_and_with_many_tangents(started, measured):
    assert walk.numbers(started) == measured


def test_what_cannot_be_reversed_is_said():
    made = Made(integers=Integers(refused="momentum is 0"))
    row = by_name(rows_of(made))["Reversible"]
    assert row.refused == "momentum is 0" and row.seconds == math.inf


def test_a_disk_that_is_too_small_is_said(monkeypatch):
    monkeypatch.setattr(_trajectory.OnDisk, "append", full)
    row = by_name(ng.plan(tiny_task(), ng.SGD(), steps=5, sample=1).forecasts)[
        "Reverse(store=Disk(directory=None))"
    ]
    assert row.refused == "The disk is full."


def full(self, state):
    raise OSError("The disk is full.")


@pytest.mark.parametrize("steps", [1, 2, 10, 100, 999])
def test_as_many_states_are_held_as_a_plan_says(steps):
    kept = _trajectory.Checkpointed(steps)
    for t in range(steps):
        kept.append(torch.tensor([t]))
    most = len(kept.kept)
    assert most + kept.interval == forecast.held("checkpoint", steps)
    assert forecast.held("device", steps) == steps and forecast.held("disk", steps) == 2


@pytest.mark.parametrize("optimizer", [ng.SGD(momentum=0.5), ng.Adam()], ids=repr)
def test_a_reversible_run_spills_as_many_limbs_as_predicted(optimizer):
    run = Run(tiny_task(), optimizer, 300)
    schedule = ng.Schedule.initial(optimizer.hyperparameters(300))
    done = ng.Reversible().rollout(run, schedule, keep=True)
    started = len(done.trajectory.state.buffers)
    assert abs(walk.limbs(done.trajectory) - (done.trajectory.memory.limbs - started)) <= started


def test_a_piece_inside_another_is_taken_out_of_it(monkeypatch):
    moments = iter([0, 1, 4, 10, 20, 22])
    monkeypatch.setattr(clock.time, "perf_counter", lambda: float(next(moments)))
    watch = clock.Clock(CPU)
    with watch.piece("read"), watch.piece("replay"):
        pass
    with watch.piece("read"):
        pass
    assert watch.median("replay") == 3 and watch.median("never") == 0
    assert watch.median("read") == 2  # the later half of 10 - 3 and 2


# ---- Which engine -------------------------------------------------------------------------------


def made_plan(free, made=None):
    return _planner.Plan(rows_of(made or Made()), 100, 105.0, free * MIB, 20 * MIB)


# Free MiB -> what fits: 100 MiB of states, 20 as checkpoints, 2 from the disk, 18 of integers.
@pytest.mark.parametrize(
    ("free", "engine"),
    [
        (1000, "reverse:device"),
        (200, "reverse:device"),
        (199, "reverse:checkpoint"),
        (40, "reverse:checkpoint"),
        (39, "reverse:disk"),
        (4, "reverse:disk"),
    ],
)
def test_the_first_that_fits_in_half_of_the_free_memory(free, engine):
    plan = made_plan(free)
    assert plan.recommended == engine_from(engine) and "first that fits" in plan.choice.reason


@pytest.mark.parametrize(
    ("write", "refused", "free", "engine"),
    [
        (9.0, "", 39, ng.Reversible()),  # 587 s, and 1212 from the disk; Forward takes 707
        (9.0, "momentum is 0", 39, ng.Forward()),
        (3.0, "", 39, ng.Reverse("disk")),  # 612 s
        (9.0, "", 40, ng.Reverse("checkpoint")),
    ],
)
def test_a_slow_disk_is_passed_over(write, refused, free, engine):
    core = dataclasses.replace(CORE, stores={**CORE.stores, "disk": Storing(write=write)})
    made = Made(core, dataclasses.replace(INTEGERS, refused=refused), quick_tangents(7.0))
    plan = made_plan(free, made)
    assert plan.recommended == engine
    passed_over = engine in (ng.Reversible(), ng.Forward())
    assert (
        "times as fast as Reverse(store=Disk(directory=None))" in plan.choice.reason
    ) == passed_over


def quick_tangents(seconds):
    return Tangents({1: 100}, {1: Piece(seconds, 21 * MIB)})


def test_timings_decide_nothing_where_states_fit_in_memory():
    quick = quick_tangents(0.1)
    assert made_plan(1000, Made(tangents=quick)).recommended == ng.Reverse("device")
    assert made_plan(100, Made(tangents=quick)).recommended == ng.Reverse("checkpoint")


def test_nothing_fits():
    plan = dataclasses.replace(made_plan(1), present_bytes=0)
    with pytest.raises(ng.NongreedyError, match="No engine fits"):
        _ = plan.recommended  # finite differences would, but they are not exact


def settled(monkeypatch, free, made, steps=100, engine="auto", device=CPU):
    """What ``engine="auto"`` becomes with so many states' worth of free memory."""
    problem = ng.Problem(tiny_task(), ng.SGD(), steps)
    run = problem.run()
    monkeypatch.setattr(choice, "free_bytes", lambda device: round(free * run.state_bytes))
    monkeypatch.setattr(choice, "Walk", lambda *given: made)
    return choice.settle(engine, problem, problem.initial)


# 100 states in all, 20 with checkpoints.
@pytest.mark.parametrize(
    ("free", "store"), [(400, "device"), (199, "checkpoint"), (80, "checkpoint")]
)
def test_auto_measures_nothing_where_sizes_decide(monkeypatch, free, store):
    made = Made()
    found = settled(monkeypatch, free, made)
    assert found.engine == ng.Reverse(store) and "easily fits" in found.reason and not made.asked


ALL, CORE_ONLY = ["core", "integers", "tangents"], ["core"]


@pytest.mark.parametrize(
    ("free", "engine", "asked"),
    [
        (399, ng.Reverse("device"), CORE_ONLY),  # a step of the sweep might hold more than fits
        (200, ng.Reverse("device"), CORE_ONLY),
        (79, ng.Reverse("checkpoint"), CORE_ONLY),
        (40, ng.Reverse("checkpoint"), CORE_ONLY),
        (39, ng.Reverse("disk"), ALL),  # which is compared with what is left
        (4, ng.Reverse("disk"), ALL),
    ],
)
def test_auto_measures_no_more_than_it_needs(monkeypatch, free, engine, asked):
    size = Run(tiny_task(), ng.SGD(), 1).state_bytes
    made = Made(dataclasses.replace(CORE, state_bytes=size, back=Piece(2.0, 10 * MIB)))
    assert settled(monkeypatch, free, made).engine == engine and made.asked == asked


@pytest.mark.parametrize(
    "error", [ng.DivergedError("training loss", 0, 9), MemoryError("none"), ng.ReplayError("other")]
)
def test_auto_goes_by_sizes_where_measuring_fails(monkeypatch, error):
    found = settled(monkeypatch, 200, Made(core=error))
    assert found.engine == ng.Reverse() and str(error) in found.reason


def test_auto_goes_by_sizes_where_nothing_fits(monkeypatch):
    huge = dataclasses.replace(CORE, step=Piece(1.0, 0), back=Piece(1.0, 2**60))
    integers, tangents = Integers(refused="no"), Tangents({1: 100}, {1: Piece(1.0, 2**60)})
    found = settled(monkeypatch, 200, Made(huge, integers, tangents))
    assert found.engine == ng.Reverse() and "no engine is sure to fit" in found.reason


def test_what_is_asked_for_is_not_planned(monkeypatch):
    made, asked = Made(), ng.Forward(chunk=2)
    assert settled(monkeypatch, 0, made, engine=asked) == choice.Choice(asked)
    assert settled(monkeypatch, 0, made, engine="reverse:disk") == choice.Choice(ng.Reverse("disk"))
    assert not made.asked


class Log(ng.Callback):
    """Everything that a search says, and where."""

    def __init__(self):
        self.engines, self.events = [], []

    def on_engine(self, engine, reason):
        self.engines.append((engine, reason, len(self.events)))

    def on_run_start(self, label, steps):
        self.events.append((label, steps))

    def on_inner_step(self, step, steps):
        self.events.append((step, steps))


def search(engine, **settings):
    log, optimizer = Log(), ng.SGD(ng.Windows(2), ng.Windows(1, initial=0.5, bounds=(0.1, 0.9)))
    given = {"steps": 6, "outer_steps": 2, "engine": engine, "callbacks": [log], **settings}
    return ng.tune(tiny_task("conv_net"), optimizer, **given), log


@pytest.fixture
def measured(monkeypatch):
    """Memory that is scarce when sizes are looked at, so that auto measures, and then is not."""
    looks = []

    def free_bytes(device):
        looks.append(device)
        return (
            3 * 6 * Run(tiny_task("conv_net"), ng.SGD(), 6).state_bytes if len(looks) % 2 else 2**50
        )

    monkeypatch.setattr(choice, "free_bytes", free_bytes)
    return looks


def test_a_search_is_the_same_bit_for_bit_whether_its_engine_was_measured_or_named(measured):
    before = torch.get_rng_state()
    (first, one), (second, two) = search("auto"), search("auto")
    assert len(measured) == 4 and torch.equal(before, torch.get_rng_state())
    named, three = search(ng.Reverse("device"))
    for found in (second, named):
        assert found.validation_loss == first.validation_loss
        assert found.settings == first.settings and found.cost == first.cost
        for name in first.schedule.curves:
            assert torch.equal(found.schedule[name], first.schedule[name])
    # The planner reports no steps: what is watched is the search.
    assert one.events == two.events == three.events
    assert one.engines == [
        (ng.Reverse("device"), "the first that fits in half of the free memory", 0)
    ]
    assert three.engines == [(ng.Reverse("device"), "", 0)]
    assert first.settings["engine"] == ng.Reverse("device").to_json()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 6])
def test_a_hypergradient_is_the_same_bit_for_bit_whether_its_engine_was_measured_or_named(
    measured, steps, dtype
):
    task = tiny_task("conv_net")
    found = [
        ng.hypergradient(task, ng.SGD(momentum=0.9), steps=steps, engine=engine, dtype=dtype)
        for engine in ("auto", "reverse:device")
    ]
    assert found[0].value == found[1].value
    assert torch.equal(*(h.gradients["learning_rate"] for h in found))
    assert torch.equal(*(h.initial for h in found))


def test_a_diverging_first_step_is_reported_by_the_run_itself(measured):
    nan = tiny_task(loss=lambda output, target: output.square().sum() * math.nan)
    with pytest.raises(ng.DivergedError, match="training loss became non-finite at step 0 of 6"):
        ng.hypergradient(nan, ng.SGD(), steps=6)


def test_an_interruption_while_measuring_ends_the_search(monkeypatch, measured):
    monkeypatch.setattr(choice, "Walk", lambda *given: Made(core=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        search("auto")


def test_nothing_is_measured_where_there_is_nothing_to_learn(measured):
    for call in (ng.tune, ng.hypergradient):
        with pytest.raises(ValueError, match="Nothing to"):
            call(tiny_task(), ng.SGD(0.1), steps=6)
    assert not measured


# ---- Measuring ----------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_a_plan_measures_every_engine_and_leaves_the_random_state_alone(momentum):
    optimizer = ng.SGD(ng.Windows(3), momentum=momentum)
    before = torch.get_rng_state()
    plan = ng.plan(tiny_task("conv_net"), optimizer, steps=20, sample=3)
    assert torch.equal(before, torch.get_rng_state())
    rows = by_name(plan.forecasts)
    assert rows.keys() == EXPECTED.keys()
    assert bool(rows["Reversible"].refused) == (momentum == 0)
    for row in rows.values():
        assert row.refused or (row.seconds > plan.plain_seconds > 0 and row.bytes > MIB)
    assert "replay" in rows["Reverse(store=Checkpoints(interval=None))"].arithmetic


def test_plan_with_hyperparameters_of_the_task():
    task = tiny_task(
        hyperparameters={"noise": ng.Variable(initial=torch.zeros(14, 4))},
        prepare=lambda x, y, hypers: (x + hypers["noise"][hypers.index], y),
    )
    rows = by_name(ng.plan(task, ng.SGD(momentum=0.9), steps=10, sample=2).forecasts)
    assert "with 57 to 57 tangents" in rows["Forward"].arithmetic
    assert rows["FiniteDifference"].arithmetic.startswith("115 runs")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 10, "sample": 0}, "`sample` must be a whole number"),
        ({"steps": 10, "optimizer": ng.SGD(0.1)}, "Nothing to learn"),
        ({}, "Give either `epochs` or `steps`"),
    ],
    ids=["sample", "fixed", "length"],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        ng.plan(tiny_task(), **{"optimizer": ng.SGD(), **settings})


def test_the_peak_of_a_block_is_seen():
    with watched(torch.device("cpu")) as small:
        torch.zeros(1)
    with watched(torch.device("cpu")) as large:
        held = torch.ones(64 * MIB // 4)
    assert large.bytes - small.bytes > 50 * MIB and held.sum() > 0


def test_the_command_prints_a_table_and_a_recommendation():
    done = CliRunner().invoke(
        app, ["plan", "--model", "mlp", "--epochs", "4", "--train-examples", "300", "--sample", "1"]
    )
    assert done.exit_code == 0, done.output
    for word in ("reverse:device", "reverse:checkpoint", "forward", "reversible: momentum is 0"):
        assert word in done.output
    assert "Recommended: --engine reverse:device" in done.output
    wrong = CliRunner().invoke(app, ["plan", "--model", "mpl"])
    assert wrong.exit_code == 2
