"""The planner: its arithmetic on a made-up sample, its choice, its table."""

import dataclasses
import math

import pytest
import torch
from typer.testing import CliRunner

import nongreedy as ng
from nongreedy import _planner
from nongreedy._cli import app
from nongreedy._planner.forecast import forecasts
from nongreedy._planner.peak import watched
from nongreedy._planner.sample import Piece, Sample

from .helpers import tiny_task

MIB = 2**20
# 100 steps; a state of 1 MiB; three columns that act for 0.5, 1 and 1 of the run.
SAMPLE = Sample(
    steps=100, state_bytes=MIB, columns=(2.5, 3),
    step=Piece(1.0, 10 * MIB), back=Piece(2.0, 20 * MIB),
    tangents={1: Piece(3.0, 12 * MIB), 3: Piece(7.0, 16 * MIB)},
    look=Piece(5.0, 0), look_back=Piece(7.0, 0),
    integer=Piece(1.5, 11 * MIB), undo=Piece(1.75, 11 * MIB), refused="",
)  # fmt: skip
# Engine -> (seconds, MiB): 12 seconds of looks, or 7 where there is only the last one.
EXPECTED = {
    "Reverse(store='device')": (100 * (1 + 2) + 12, 20 + 100),
    "Reverse(store='checkpoint')": (100 * (1 + 1 + 2) + 12, 20 + 10 + 10),
    "Reverse(store='disk')": (100 * (1 + 2) + 12, 20 + 1),
    "Reversible": (100 * (1.5 + 1.75 + 2) + 12, 20 + 3 * 8 + 800 / MIB),
    "Forward": (100 * 1 + 100 * 2.5 * 2 + 7, 12 + 2 * 2),
    "FiniteDifference": ((1 + 2 * 3) * (100 * 1 + 5), 10),
}


def by_name(rows):
    return {next(n for n in EXPECTED if repr(row.engine).startswith(n)): row for row in rows}


@pytest.mark.parametrize("name", EXPECTED)
def test_arithmetic(name):
    row = by_name(forecasts(SAMPLE, bits=100.0, parameters=MIB))[name]
    seconds, memory = EXPECTED[name]
    assert row.seconds == pytest.approx(seconds) and row.bytes / MIB == pytest.approx(memory)
    assert not row.refused and "100 x" in row.arithmetic


def test_what_cannot_be_reversed_is_said():
    refused = dataclasses.replace(SAMPLE, integer=None, undo=None, refused="momentum is 0")
    row = by_name(forecasts(refused, 0.0, MIB))["Reversible"]
    assert row.refused == "momentum is 0" and row.seconds == math.inf


def made(free, sample=SAMPLE):
    rows = tuple(forecasts(sample, 100.0, MIB))
    return _planner.Plan(rows, 100, 105.0, free * MIB, 20 * MIB)


@pytest.mark.parametrize(
    ("free", "engine"),
    [(1000, ng.Reverse("device")), (199, ng.Reverse("disk")), (1, "none")],
)
def test_the_fastest_that_fits_in_half_of_the_free_memory(free, engine):
    if engine != "none":
        assert made(free).recommended == engine
        return
    # Finite differences fit, but are not exact; Forward fits because it holds less than is present.
    assert made(free).recommended == ng.Forward()
    crowded = dataclasses.replace(made(free), present_bytes=0)
    with pytest.raises(ng.NongreedyError, match="No engine fits"):
        _ = crowded.recommended


def test_of_engines_within_a_tenth_the_first_wins():
    quick = {1: Piece(2.0, 0), 3: Piece(2.6, 0)}  # Forward: 100 * (1.7 + 2.5 * 0.3) + 7
    near = dataclasses.replace(SAMPLE, tangents={1: Piece(2.5, 0), 3: Piece(2.9, 0)})
    assert made(1000, dataclasses.replace(SAMPLE, tangents=quick)).recommended == ng.Forward()
    assert made(1000, near).recommended == ng.Reverse("device")


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
    assert rows["Reverse(store='device')"].seconds < rows["Reverse(store='checkpoint')"].seconds


def test_plan_with_hyperparameters_of_the_task():
    task = tiny_task(
        hyperparameters={"noise": ng.Variable(initial=torch.zeros(14, 4))},
        prepare=lambda x, y, hypers: (x + hypers["noise"][hypers.index], y),
    )
    rows = by_name(ng.plan(task, ng.SGD(momentum=0.9), steps=10, sample=2).forecasts)
    assert "+ 57 x" in rows["Forward"].arithmetic
    assert rows["FiniteDifference"].arithmetic.startswith("115 runs")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 10, "sample": 0}, "`sample` must be a whole number"),
        ({"steps": 10, "optimizer": ng.SGD(0.1)}, "Nothing to differentiate"),
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
