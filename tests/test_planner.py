"""The planner: its arithmetic on made-up engines, its choice, its table."""

import contextlib
import dataclasses
import math
import shutil
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

import nongreedy as ng
from nongreedy.cli import app
from nongreedy.engines import Outcome, Run, _free_memory, engine_from
from nongreedy.planning import Choice, Forecast, Plan, settle
from nongreedy.planning import _choice as choice
from nongreedy.planning import _short_runs as short_runs
from nongreedy.planning._forecast import engines_for, forecast
from nongreedy.planning._peak import Peak, peak_memory

from .helpers import tiny_task

MIB = 2**20
CPU = torch.device("cpu")
NAMES = ["device", "checkpoint", "disk", "Reversible", "Forward", "FiniteDifference"]


def name_of(engine):
    if not isinstance(engine, ng.Reverse):
        return type(engine).__name__
    names = {"Graphs": "graphs", "Device": "device", "Checkpoints": "checkpoint", "Disk": "disk"}
    return names[type(engine.store).__name__]


def by_name(rows):
    return {name_of(row.engine): row for row in rows}


def raising(error):
    def stub(*given):
        raise error

    return stub


# ---- Arithmetic ---------------------------------------------------------------------------------


class World:
    """A clock and a memory that only made-up engines move; lengths of what was run are noted.

    A plain step takes 1 ms and 10 MiB, a look at the validation loss 5 ms, its gradient 7 ms.
    """

    def __init__(self, monkeypatch):
        self.now, self.peak, self.ran = 0.0, 0, []
        clock = SimpleNamespace(perf_counter=lambda: self.now)
        monkeypatch.setattr(short_runs, "time", clock)
        monkeypatch.setattr(short_runs, "peak_memory", self.watched)
        monkeypatch.setattr(short_runs, "_plain", self.plain)
        monkeypatch.setattr(Run, "outer_loss", lambda run, *rest: self.look(0.005))
        total = SimpleNamespace(read=lambda: (1.0, None))
        look = lambda run, *rest: (self.look(0.007) and total, None)  # noqa: E731
        monkeypatch.setattr(Run, "unread_outer_gradient", look)

    @contextlib.contextmanager
    def watched(self, device):
        peak, self.peak = Peak(), 0
        yield peak
        peak.bytes = self.peak

    def plain(self, run, schedule, learn):
        self.work(run, run.steps / 1000, 10 * MIB)
        run.outer_loss(None)

    def look(self, seconds):
        self.now += seconds
        return Outcome(1.0, None)

    def work(self, run, seconds, memory):
        self.now, self.peak = self.now + seconds, max(self.peak, memory)


class Made(ng.Engine):
    """A stranger's engine, by public names: what it takes is made up, and all that is asked is noted.

    Args:
        world: Which clock and memory it moves.
        cost: T -> gradients beside those of the run, per step.
        held: T -> states, or None where it does not say.
        looks: T -> how often it looks at the validation loss.
        once: Seconds beside the steps' 1 ms per gradient.
        memory: T -> MiB.
    """

    def __init__(self, world, cost=lambda steps: 3.0, held=None, looks=lambda steps: 1, once=0.002,
                 memory=lambda steps: 20.0 + steps):  # fmt: skip
        self.world, self.cost, self.held, self.looks = world, cost, held, looks
        self.once, self.memory, self.ran = once, memory, []

    def sweep_cost(self, run, schedule, learn):
        return self.cost(run.steps)

    def states_held(self, run, schedule, learn):
        return self.held and self.held(run.steps)

    def differentiate(self, rollout, learn, on_step=None):
        raise AssertionError("a planner asks for whole hypergradients")

    def hypergradient(self, run, schedule, learn, on_step=None):
        self.ran.append(run.steps)
        gradients = (1 + self.cost(run.steps)) * run.steps
        self.world.work(run, self.once + gradients / 1000, round(self.memory(run.steps) * MIB))
        for _ in range(self.looks(run.steps)):
            run.outer_gradient(None)
        return ng.Hypergradient(1.0, None, {})


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def planned(engine, steps=100, sample=8):
    """One engine's row, and the size of a state."""
    task, optimizer = tiny_task(verify=False), ng.SGD()  # its losses are made up
    (row,) = ng.plan(task, optimizer, steps=steps, sample=sample, engines=[engine]).forecasts
    return row, Run(task, optimizer, steps).state_bytes


@pytest.mark.parametrize("steps", [5, 8, 9, 100, 12345])
@pytest.mark.parametrize("once", [0.0, 0.002, 0.05])
def test_seconds_grow_with_the_steps_and_not_what_is_done_once(world, steps, once):
    row, _ = planned(Made(world, once=once), steps)
    assert row.seconds == pytest.approx(4 * steps / 1000 + once + 0.007) and not row.refused


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_what_is_no_longer_than_the_sample_is_measured_itself(world, steps):
    engine = Made(world, memory=lambda steps: steps**2)
    row, _ = planned(engine, steps)
    assert row.seconds == pytest.approx(4 * steps / 1000 + 0.002 + 0.007)
    assert row.bytes == steps**2 * MIB and max(engine.ran) == steps


# As with tangents that start one after the other, or one per step.
@pytest.mark.parametrize("cost", [lambda steps: steps / 10, lambda steps: 5.0 - 4.0 / steps])
def test_seconds_grow_with_the_costs_that_an_engine_says(world, cost):
    row, _ = planned(Made(world, cost=cost), 200)
    assert row.seconds == pytest.approx((1 + cost(200)) * 200 / 1000 + 0.002 + 0.007)


@pytest.mark.parametrize(
    ("looks", "shown"),
    [
        (lambda steps: 3, "21 ms"),
        (lambda steps: steps, "0.7 s"),
        (lambda steps: steps // 2, "0.35 s"),
    ],
)
def test_looks_at_the_validation_loss_are_counted_apart(world, looks, shown):
    row, _ = planned(Made(world, looks=looks))
    assert row.seconds == pytest.approx(0.4 + 0.002 + 0.007 * looks(100))
    assert row.arithmetic == f"100 x 4 ms + 2 ms once + {shown} validation"


def test_the_arithmetic_is_shown(world):
    row, _ = planned(Made(world))
    assert row.arithmetic == "100 x 4 ms + 2 ms once + 7 ms validation"
    row, _ = planned(Made(world, once=0.0, looks=lambda steps: 0))
    assert row.arithmetic == "100 x 4 ms"
    row, _ = planned(Made(world, cost=lambda steps: 1e4))
    assert row.arithmetic == "1e+04 plain runs of 0.105 s, by its own count: too long to measure"


@pytest.mark.parametrize("steps", [9, 100, 10**5])
def test_memory_grows_evenly_where_an_engine_does_not_say_how(world, steps):
    row, _ = planned(Made(world), steps)
    assert row.bytes == pytest.approx((20 + steps) * MIB)
    row, _ = planned(Made(world, memory=lambda steps: 50.0 - steps), steps)
    assert row.bytes == 42 * MIB  # what seems to shrink is noise


@pytest.mark.parametrize("held", [lambda steps: 2 * math.isqrt(steps), lambda steps: 0.0])
def test_memory_grows_by_the_states_that_an_engine_says(world, held):
    row, size = planned(Made(world, held=held, memory=lambda steps: 50.0), 400)
    assert row.bytes == 50 * MIB + size * (held(400) - held(8))


# A plain step takes 1 ms: 2 s are 2,000 of them.
@pytest.mark.parametrize(
    ("cost", "lengths"),
    [(3, {2, 8}), (198, {2, 8}), (220, {1, 4}), (399, {1, 4}), (500, {1, 2}), (665, {1, 2})],
)
def test_a_dear_engine_is_measured_in_shorter_runs(world, cost, lengths):
    engine = Made(world, cost=lambda steps: cost)
    row, _ = planned(engine)
    assert set(engine.ran) == lengths and len(engine.ran) <= 1 + 2 * 9
    assert row.seconds == pytest.approx((1 + cost) / 10 + 0.002 + 0.007)
    assert sum(engine.ran[1:]) * (1 + cost) / 1000 <= 2.0


@pytest.mark.parametrize(("held", "states"), [(None, 100), (lambda steps: 30.0, 30)])
def test_what_takes_too_long_to_measure_is_counted_in_plain_runs(world, held, states):
    engine = Made(world, cost=lambda steps: 700, held=held)
    row, size = planned(engine)
    assert not engine.ran and not row.refused
    assert row.seconds == pytest.approx(701 * (0.1 + 0.005))
    assert row.bytes == 10 * MIB + states * size


def test_a_few_gradients_per_step_are_measured_even_where_a_step_takes_seconds(monkeypatch, world):
    monkeypatch.setattr(short_runs, "_PATIENCE", 1e-9)
    for cost, lengths in [(7.0, [1, 1, 2]), (7.1, [])]:
        engine = Made(world, cost=lambda steps, cost=cost: cost)
        row, _ = planned(engine)
        assert engine.ran == lengths
        plain = 0 if lengths else (1 + cost) * 0.005
        assert row.seconds == pytest.approx((1 + cost) / 10 + plain + (0.009 if lengths else 0))


class Noisy(Made):
    """The longer run seems to take as long as the shorter one, or ten times as long per step."""

    def hypergradient(self, run, schedule, learn, on_step=None):
        self.world.work(run, self.once(run.steps), 0)


@pytest.mark.parametrize("once", [lambda steps: 0.03, lambda steps: 0.04 / steps,
                                  lambda steps: 0.001 * steps**2])  # fmt: skip
def test_noise_makes_no_part_of_a_forecast_negative(world, once):
    row, _ = planned(Noisy(world, once=once, looks=lambda steps: 0))
    assert row.seconds == pytest.approx(once(8) * 100 / 8) and "once" not in row.arithmetic


def test_a_plain_run_is_predicted_too(world):
    task = tiny_task(verify=False)
    plan = ng.plan(task, ng.SGD(), steps=1000, engines=[Made(world)])
    assert plan.plain_seconds == pytest.approx(1.005) and plan.present_bytes == 10 * MIB


# ---- Engines ------------------------------------------------------------------------------------


class Mine(ng.Engine):
    """A stranger's engine over real runs: the sweep of `Reverse`, and a random number."""

    def sweep_cost(self, run, schedule, learn):
        return 3.0

    def differentiate(self, rollout, learn, on_step=lambda step: None):
        torch.rand(1)
        again = ng.Reverse("device").rollout(rollout.run, rollout.schedule, keep=True)
        return ng.Reverse("device").differentiate(again, learn)


class Broken(Mine):
    """Raises what it was given."""

    def __init__(self, error):
        self.error = error

    def differentiate(self, rollout, learn, on_step=lambda step: None):
        raise self.error


def test_a_strangers_engine_is_planned_beside_named_ones():
    before = torch.get_rng_state()
    plan = ng.plan(tiny_task(), ng.SGD(), steps=30, sample=2, engines=[Mine(), "forward"])
    assert torch.equal(before, torch.get_rng_state())
    mine, forward = plan.forecasts
    assert isinstance(mine.engine, Mine) and forward.engine == ng.Forward()
    assert mine.seconds > plan.plain_seconds > 0 and mine.bytes > MIB
    assert plan.recommended is mine.engine


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("momentum is 0"), "momentum is 0"),
        (ng.DivergedError("adjoint", 0, 9), "The adjoint became non-finite"),
        (OSError("The disk is full."), "The disk is full."),
        (RuntimeError("no second derivative"), "RuntimeError: no second derivative"),
        (KeyError(), "KeyError"),
        (MemoryError("none left"), "MemoryError: none left"),
    ],
)
def test_what_an_engine_raises_is_the_reason_of_its_refusal(error, reason):
    plan = ng.plan(tiny_task(), ng.SGD(), steps=9, sample=2, engines=[Broken(error), "forward"])
    broken, forward = plan.forecasts
    assert broken.refused.startswith(reason) and broken.seconds == math.inf
    assert not forward.refused and plan.recommended == ng.Forward()


def test_what_does_not_give_the_derivative_is_not_chosen():
    plan = ng.plan(
        tiny_task(), ng.SGD(), steps=9, sample=2, engines=["greedy", "random_directions"]
    )
    assert all(row.inexact and not row.refused for row in plan.forecasts)
    with pytest.raises(ng.NongreedyError, match="No engine fits"):
        _ = plan.recommended


@pytest.mark.parametrize(
    "basis",
    [ng.PerStep(), ng.Windows(20), ng.Windows(edges=[0.9]), ng.Linear(5), ng.Constant()],
    ids=repr,
)
def test_a_short_run_has_as_many_coefficients_as_the_whole(basis):
    problem = ng.Problem(tiny_task(), ng.SGD(basis), 20)
    short = short_runs.ShortRuns(problem, problem.initial, 0, 8)
    for steps in (1, 2, 8, 20):
        run, schedule, learn = short.squeezed(steps)
        assert run.steps == steps and learn == ["learning_rate"]
        assert torch.equal(schedule["learning_rate"], problem.initial["learning_rate"])
        assert len(run.values(schedule)["learning_rate"]) == steps
    for engine in engines_for(CPU):
        refused = forecast(short, engine).refused
        assert bool(refused) == isinstance(engine, ng.Reversible)


def test_a_disk_that_is_too_small_is_said(monkeypatch):
    monkeypatch.setattr("nongreedy.engines._trajectory.OnDisk.append", raising(OSError("full")))
    row, _ = planned(ng.Reverse("disk"), steps=7, sample=2)
    assert row.refused == "full"


def test_a_disk_that_only_short_runs_fit_on_is_said(monkeypatch):
    size = Run(tiny_task(), ng.SGD(), 1).state_bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50 * size))
    assert not planned(ng.Reverse("disk"), steps=50, sample=2)[0].refused
    assert "GiB free. Set TMPDIR" in planned(ng.Reverse("disk"), steps=51, sample=2)[0].refused


def test_what_cannot_be_reversed_is_said():
    row, _ = planned(ng.Reversible())
    assert row.refused.startswith("momentum is 0") and row.seconds == math.inf


@pytest.mark.parametrize("steps", [1, 2, 10, 100, 999])
def test_as_many_states_are_held_as_a_plan_says(steps):
    run, schedule = Run(tiny_task(), ng.SGD(), steps), ng.Schedule({})
    kept = ng.Reverse("checkpoint").trajectory(run)
    for t in range(steps):
        kept.append(torch.tensor([t]))
    most = len(kept.kept) + kept.interval
    held = {
        s: ng.Reverse(s).states_held(run, schedule, []) for s in ("checkpoint", "device", "disk")
    }
    assert held == {"checkpoint": most, "device": steps, "disk": 2}


def test_a_tangent_is_held_for_each_coefficient_that_acts():
    problem = ng.Problem(tiny_task(), ng.SGD(ng.PerStep(), ng.Windows(3)), 20)
    given = problem.run(), problem.initial, list(problem.learned)
    assert ng.Forward().states_held(*given) == 23
    assert ng.FiniteDifference().states_held(*given) == 0


@pytest.mark.parametrize("optimizer", [ng.SGD(momentum=0.5), ng.Adam()], ids=repr)
def test_a_reversible_run_spills_as_many_limbs_as_predicted(optimizer):
    run = Run(tiny_task(), optimizer, 300)
    schedule = ng.Schedule.initial(optimizer.hyperparameters(300))
    done = ng.Reversible().rollout(run, schedule, keep=True)
    memory, started = done.trajectory.memory, len(done.trajectory.state.buffers)
    spilled = ng.Reversible().states_held(run, schedule, []) * run.state_bytes
    limbs = (spilled - memory.checksum_bytes) / (8 * memory.parameters)
    assert limbs == int(limbs) and abs(limbs - (memory.limbs - started)) <= started


# ---- Which engine -------------------------------------------------------------------------------

# 100 MiB of states, 20 as checkpoints, 2 from the disk, 18 of integers; a plain run holds 20 MiB.
ROWS = {
    "device": Forecast(ng.Reverse("device"), 312.0, 120 * MIB, ""),
    "checkpoint": Forecast(ng.Reverse("checkpoint"), 425.0, 40 * MIB, ""),
    "disk": Forecast(ng.Reverse("disk"), 387.0, 22 * MIB, ""),
    "Reversible": Forecast(ng.Reversible(), 587.0, 38 * MIB, ""),
    "Forward": Forecast(ng.Forward(), 707.0, 21 * MIB, ""),
    "FiniteDifference": Forecast(ng.FiniteDifference(), 1.0, 10 * MIB, "", "", "differences"),
}


def made_plan(free, **changed):
    """A plan with changed fields of some rows."""
    rows = [dataclasses.replace(row, **changed.get(name, {})) for name, row in ROWS.items()]
    return Plan(tuple(rows), 100, 105.0, free * MIB, 20 * MIB)


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
    ("seconds", "refused", "free", "engine"),
    [
        (1212.0, "", 39, ng.Reversible()),
        (1212.0, "momentum is 0", 39, ng.Forward()),
        (612.0, "", 39, ng.Reverse("disk")),
        (1212.0, "", 40, ng.Reverse("checkpoint")),
    ],
)
def test_a_slow_disk_is_passed_over(seconds, refused, free, engine):
    plan = made_plan(free, disk={"seconds": seconds}, Reversible={"refused": refused})
    assert plan.recommended == engine
    passed_over = engine in (ng.Reversible(), ng.Forward())
    assert ("times as fast as Reverse(store=Disk())" in plan.choice.reason) == passed_over


def test_timings_decide_nothing_where_states_fit_in_memory():
    quick = {"Forward": {"seconds": 10.0}}
    assert made_plan(1000, **quick).recommended == ng.Reverse("device")
    assert made_plan(100, **quick).recommended == ng.Reverse("checkpoint")


def test_nothing_fits():
    plan = dataclasses.replace(made_plan(1), present_bytes=0)
    with pytest.raises(ng.NongreedyError, match="No engine fits"):
        _ = plan.recommended  # finite differences would, but they are not exact


class Rows:
    """Forecasts that are made up, in states' worth of memory; what was asked for is noted."""

    def __init__(self, monkeypatch, size, **changed):
        self.asked, self.size, self.changed = [], size, changed
        plain = SimpleNamespace(bytes=20 * size)
        monkeypatch.setattr(
            choice, "ShortRuns", lambda *given: SimpleNamespace(plain=(None, plain))
        )
        monkeypatch.setattr(choice, "forecast", self.forecast)

    def forecast(self, short, engine):
        name = name_of(engine)
        self.asked.append(name)
        row = dataclasses.replace(ROWS[name], **self.changed.get(name, {}))
        return dataclasses.replace(row, bytes=row.bytes * self.size // MIB)


def settled(monkeypatch, free, engine="auto", **changed):
    """What ``engine="auto"`` becomes with so many states' worth of free memory, and what was asked."""
    problem = ng.Problem(tiny_task(), ng.SGD(), 100)
    size = problem.run().state_bytes
    made = Rows(monkeypatch, size, **changed)
    monkeypatch.setattr(_free_memory, "free_bytes", lambda device: round(free * size))
    return settle(engine, problem, problem.initial), made.asked


# 100 states in all, 20 with checkpoints.
@pytest.mark.parametrize(
    ("free", "store"), [(400, "device"), (199, "checkpoint"), (80, "checkpoint")]
)
def test_auto_measures_nothing_where_sizes_decide(monkeypatch, free, store):
    found, asked = settled(monkeypatch, free)
    assert found.engine == ng.Reverse(store) and "easily fits" in found.reason and not asked


@pytest.mark.parametrize(
    ("free", "engine", "asked"),
    [
        (399, ng.Reverse("device"), 1),  # a step of the sweep might hold more than fits
        (200, ng.Reverse("device"), 1),
        (79, ng.Reverse("checkpoint"), 2),
        (40, ng.Reverse("checkpoint"), 2),
        (39, ng.Reverse("disk"), 5),  # which is compared with what is left
        (4, ng.Reverse("disk"), 5),
    ],
)
def test_auto_measures_no_more_than_it_needs(monkeypatch, free, engine, asked):
    found, names = settled(monkeypatch, free)
    assert found.engine == engine and names == NAMES[:asked]


@pytest.mark.parametrize(
    "error", [ng.DivergedError("training loss", 0, 9), MemoryError("none"), ng.ReplayError("other")]
)
def test_auto_goes_by_sizes_where_measuring_fails(monkeypatch, error):
    monkeypatch.setattr(short_runs, "_plain", raising(error))
    problem = ng.Problem(tiny_task(), ng.SGD(), 100)
    monkeypatch.setattr(_free_memory, "free_bytes", lambda device: 200 * problem.run().state_bytes)
    found = settle("auto", problem, problem.initial)
    assert found.engine == ng.Reverse() and str(error) in found.reason


def test_auto_goes_by_sizes_where_a_sweep_cannot_be_measured(monkeypatch):
    found, asked = settled(monkeypatch, 200, device={"refused": "no second derivative"})
    assert found.engine == ng.Reverse() and asked == ["device"]
    assert found.reason.endswith("nothing could be measured: no second derivative")


def test_auto_goes_by_sizes_where_nothing_fits(monkeypatch):
    huge = {"bytes": 2**60}
    found, asked = settled(
        monkeypatch, 200, device=huge, checkpoint=huge, disk=huge, Reversible=huge, Forward=huge
    )
    assert found.engine == ng.Reverse() and "no engine is sure to fit" in found.reason
    assert asked == NAMES[:5]


def test_what_is_asked_for_is_not_planned(monkeypatch):
    for engine in (ng.Forward(chunk=2), "reverse:disk"):
        found, asked = settled(monkeypatch, 0, engine)
        assert found == Choice(engine_from(engine)) and not asked


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

    def free_for(task, device):
        looks.append(device)
        return (
            3 * 6 * Run(tiny_task("conv_net"), ng.SGD(), 6).state_bytes if len(looks) % 2 else 2**50
        )

    monkeypatch.setattr(choice, "free_for", free_for)
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
    monkeypatch.setattr(choice, "ShortRuns", raising(KeyboardInterrupt()))
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
    assert list(rows) == ["graphs", *NAMES]
    assert bool(rows["Reversible"].refused) == (momentum == 0)
    for row in rows.values():
        # On a busy machine a plain run may happen to take longer than a hypergradient.
        assert row.refused or (min(row.seconds, plan.plain_seconds) > 0 and row.bytes > MIB)
        assert bool(row.inexact) == (row.engine == ng.FiniteDifference())


def test_plan_with_hyperparameters_of_the_task(monkeypatch):
    monkeypatch.setattr(short_runs, "_PATIENCE", 1e-9)
    task = tiny_task(
        hyperparameters={"noise": ng.Variable(initial=torch.zeros(14, 4))},
        prepare=lambda x, y, hypers: (x + hypers["noise"][hypers.index], y),
    )
    plan = ng.plan(task, ng.SGD(momentum=0.9), steps=10, sample=2)
    rows, size = by_name(plan.forecasts), Run(task, ng.SGD(), 10).state_bytes
    assert rows["FiniteDifference"].arithmetic.startswith("115 plain runs of")
    assert rows["FiniteDifference"].seconds == pytest.approx(115 * plan.plain_seconds)
    assert rows["Forward"].arithmetic.startswith("116 plain runs of")  # two per tangent, and 2
    assert rows["Forward"].bytes == plan.present_bytes + 57 * size
    assert rows["device"].arithmetic.startswith("10 x")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 10, "sample": 0}, "`sample` must be a whole number"),
        ({"steps": 10, "optimizer": ng.SGD(0.1)}, "Nothing to learn"),
        ({}, "Give either `epochs` or `steps`"),
        ({"steps": 10, "engines": []}, "`engines` must be None or name"),
        ({"steps": 10, "engines": ["foward"]}, "Unknown engine 'foward'.*forward"),
    ],
    ids=["sample", "fixed", "length", "none", "name"],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        ng.plan(tiny_task(), **{"optimizer": ng.SGD(), **settings})


def test_the_peak_of_a_block_is_seen():
    with peak_memory(torch.device("cpu")) as small:
        torch.zeros(1)
    with peak_memory(torch.device("cpu")) as large:
        held = torch.ones(64 * MIB // 4)
    assert large.bytes - small.bytes > 50 * MIB and held.sum() > 0


def test_the_command_prints_a_table_and_a_recommendation():
    done = CliRunner().invoke(
        app, ["plan", "--model", "mlp", "--epochs", "4", "--train-examples", "300", "--sample", "1"]
    )
    assert done.exit_code == 0, done.output
    words = "reverse:graphs", "reverse:device", "reverse:checkpoint", "forward"
    for word in (*words, "reversible: momentum is 0"):
        assert word in done.output
    assert "Recommended: --engine reverse:graphs" in done.output
    wrong = CliRunner().invoke(app, ["plan", "--model", "mpl"])
    assert wrong.exit_code == 2
