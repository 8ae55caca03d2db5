"""Thousands of steps, undone and from checkpoints: what the benchmark claims, on a shorter run."""

import functools
import gc
import math

import pytest
import torch

import nongreedy as ng
from benchmarks.long_horizon import LEARN, METHODS, kept, make_run, relative_errors, same_bits

SHORT, LONG = 16**2, 32**2  # squares, so that the last segment is a full one


@functools.cache
def swept(method, steps):
    """The hypergradient, what was kept for it, and how many states came to be alive for the sweep."""
    run, schedule = make_run(steps)
    width = sum(run.module.sizes)
    before, after = states_alive(width), []
    rollout = METHODS[method](run, schedule)
    held = kept(rollout)
    assert bool((rollout.values["momentum"] == 0.9).all())  # the fraction 9/10, in all of them

    def count(t):
        if t == steps - 1:  # all checkpoints but the last, and its segment computed again
            after.append(states_alive(width))

    found = ng.Reverse().differentiate(rollout, LEARN, count)
    return found, held, after[0] - before


def states_alive(width):
    gc.collect()  # what is left of other runs
    tensors = (value for value in gc.get_objects() if type(value) is torch.Tensor)
    return sum(value.dim() == 2 and value.shape[1] == width for value in tensors)


def test_a_long_run_undone_has_the_bits_of_its_checkpoints():
    undone, checkpoints = (swept(m, LONG)[0] for m in ("undone", "integer checkpoints"))
    assert same_bits(undone, checkpoints)
    assert all(bool((undone.per_step[name] != 0).all()) for name in LEARN if name != "momentum")
    assert not same_bits(
        undone, swept("checkpoints", LONG)[0]
    )  # another run: it rounds differently


def test_a_long_run_in_integers_agrees_with_the_one_in_float64():
    undone, floating = (swept(m, LONG)[0] for m in ("undone", "checkpoints"))
    assert undone.value == pytest.approx(floating.value, rel=1e-12)
    assert max(relative_errors(undone, floating).values()) < 1e-10


@pytest.mark.parametrize("method", ["checkpoints", "integer checkpoints"])
def test_checkpoints_grow_with_the_square_root_of_the_steps(method):
    for steps in (SHORT, LONG):
        _, held, alive = swept(method, steps)
        assert held.states == 2 * math.isqrt(steps)
        assert alive == pytest.approx(held.states, abs=6)  # and the adjoint, the last state, ...


def test_an_undone_run_keeps_no_states():
    (_, few, alive), (_, many, alive_later) = (swept("undone", steps) for steps in (SHORT, LONG))
    assert few.states == many.states == 0 and alive == alive_later <= 6
    # A checksum of eight bytes per step; 0.152 bits per parameter and step are a limb in 400 steps.
    count = 2410
    limbs = [
        (held.bytes - 8 * steps) / (8 * count) - 2 for held, steps in ((few, SHORT), (many, LONG))
    ]
    assert limbs == [1, pytest.approx(0.152 * LONG / 64 + 1, abs=1.5)]
