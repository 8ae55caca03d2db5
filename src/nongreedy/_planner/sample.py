"""A few steps of a run, measured: what the pieces of every engine take on this task and device."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .._engine import Forward, Reversible
from .._engine.forward import Axes
from .._engine.reverse import pull_back
from .._run import Run, at
from .._schedule import Schedule
from .peak import watched

_WARM_UP = 2  # first calls compile, allocate and read


@dataclass(frozen=True)
class Piece:
    """Median seconds of one call, and the most bytes that were held meanwhile."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Sample:
    """What the pieces of a hypergradient take.

    Attributes:
        steps: T of the whole run.
        state_bytes: Size of one state.
        columns: Started tangents, averaged over the steps, and their number.
        step: A plain step.
        back: A step of the reverse sweep.
        tangents: Number of tangents -> a step that pushes so many.
        look, look_back: Validation loss; the same with its gradient.
        integer, undo: A step in integers; undoing it. None where that is refused.
        refused: Why, else empty.
    """

    steps: int
    state_bytes: int
    columns: tuple[float, int]
    step: Piece
    back: Piece
    tangents: dict[int, Piece]
    look: Piece
    look_back: Piece
    integer: Piece | None
    undo: Piece | None
    refused: str


def measure(run: Run, schedule: Schedule, learn: Sequence[str], count: int) -> Sample:
    """Take `count` steps in each of the ways that engines take them."""
    values, axes = run.values(schedule), Axes(schedule, learn, run.steps)
    count = min(count + _WARM_UP, run.steps)
    states = [run.initial(at(values, 0))]
    device = run.task.device

    def forward(t: int) -> None:
        states.append(run.step(states[t], at(values, t), t)[0])

    def backward(t: int) -> None:
        pull_back(run, states[t], at(values, t), t, torch.ones_like(states[t]), learn)

    with run.isolated():
        step = _piece(forward, count, device)
        back = _piece(backward, count, device)
        tangents = {
            k: _piece(_pusher(run, states, values, learn, k), count, device)
            for k in sorted({1, min(4, max(len(axes.starts), 1))})
        }
        look = _piece(lambda t: run.outer_loss(states[t][0]), min(count, 3), device)
        look_back = _piece(lambda t: run.outer_gradient(states[t][0]), min(count, 3), device)
        integer, undo, refused = _integers(run, schedule, count)
    acting = sum(1 - start / run.steps for start in axes.starts)
    return Sample(
        run.steps, run.state_bytes, (acting, len(axes.starts)),
        step, back, tangents, look, look_back, integer, undo, refused,
    )  # fmt: skip


def _pusher(
    run: Run, states: Sequence[Tensor], values: dict[str, Tensor], learn: Sequence[str], count: int
) -> Callable[[int], None]:
    def push(t: int) -> None:
        state, now = states[t], at(values, t)
        moved = {n: torch.ones_like(now[n]).expand(count, *now[n].shape) for n in learn}
        Forward().push_step(run, state, now, t, state.new_ones(count, *state.shape), moved)

    return push


def _integers(run: Run, schedule: Schedule, count: int) -> tuple[Piece | None, Piece | None, str]:
    """A step in integers and its undoing, or why there is none."""
    try:
        reversal = Reversible().reversal(run, run.values(schedule))
    except ValueError as error:
        return None, None, str(error)
    held, values = [reversal.state.floats()], run.values(schedule)

    def forward(t: int) -> None:
        reversal.append(held[0])
        _, gradient = run.gradient(held[0][0], t, at(values, t))
        held[0] = reversal.advance(gradient, t)

    integer = _piece(forward, count, run.task.device)
    sweep = reversal.backwards(held[0], lambda state, t: state)
    undo = _piece(lambda t: next(sweep), count, run.task.device)
    return integer, undo, ""


def _piece(body: Callable[[int], object], count: int, device: torch.device) -> Piece:
    """Median of `count` calls but the first two."""
    seconds = []
    with watched(device) as peak:
        for t in range(count):
            begin = time.perf_counter()
            body(t)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - begin)
    kept = list(itertools.islice(seconds, _WARM_UP, None)) or seconds
    return Piece(statistics.median(kept), peak.bytes)
