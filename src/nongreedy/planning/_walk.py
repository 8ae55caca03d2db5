"""The first steps of a run, taken and timed as each engine takes them. Nothing of them is kept."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..engines import Forward, Reversible, Run
from ..engines._forward import columns
from ..engines._integers import Reversal
from ..engines._reverse import pull_back
from ..engines._run import at
from ..engines._store import STORES, free_bytes
from ..errors import DivergedError
from ..schedules import Schedule
from ._clock import Clock
from ._peak import watched
from ._sample import Core, Integers, Piece, Storing, Tangents

_LOOKS = 3
_MOST = 32  # tangents that are pushed together at most; beyond, a step is linear in their number


class Walk:
    """The first steps of a run.

    Args:
        count: How many to take in each way; fewer where their states would fill the memory.
    """

    def __init__(self, run: Run, schedule: Schedule, learn: Sequence[str], count: int):
        self.run, self.schedule, self.learn = run, schedule, list(learn)
        self.values, self.device = run.values(schedule), run.task.device
        affordable = free_bytes(self.device) // (4 * max(run.state_bytes, 1))
        self.count = max(min(count, run.steps, affordable), 1)

    def core(self, stores: Iterable[str]) -> Core:
        """A run and a sweep over its stored states, and what each store adds."""
        run, clock, states = self.run, Clock(self.device), list[Tensor]()
        with run.isolated():
            state = run.initial(at(self.values, 0))
            with watched(self.device) as going:
                for t in range(self.count):
                    with clock.piece("step"):
                        state = self._step(state, t)
            # Once more for states to store: a step is slower that writes to memory never used before.
            state = run.initial(at(self.values, 0))
            for t in range(self.count):
                states.append(state)
                with clock.piece("kept"):
                    state = self._step(state, t)
            look, look_back = self._looks(state)
            adjoint = torch.ones_like(state)
            with watched(self.device) as coming:
                for t in reversed(range(self.count)):
                    adjoint = self._back(states[t], t, adjoint, clock)
            found = {store: self._storing(store, states, state) for store in stores}
            fresh = max(clock.median("kept") - clock.median("step"), 0.0)
            if "device" in found:
                found["device"] = replace(found["device"], write=fresh)
        kept = len(states) * run.state_bytes
        return Core(
            run.steps, state.shape[1], run.state_bytes,
            Piece(clock.median("step"), going.bytes),
            Piece(clock.median("back"), coming.bytes - kept),
            look, look_back, found,
        )  # fmt: skip

    def integers(self) -> Integers:
        """A run in integers and its undoing, or why there is none."""
        try:
            return self._integers(Reversible().reversal(self.run, self.values))
        except (ValueError, DivergedError) as error:
            return Integers(refused=str(error))

    def tangents(self) -> Tangents:
        """Steps with tangents, for a few of the numbers of them that the run will have."""
        starts = [start for _, _, start in columns(self.schedule, self.learn, self.run.steps)]
        started = Counter(bisect.bisect_right(starts, t) for t in range(self.run.steps))
        with self.run.isolated():
            return Tangents(started, {k: self._pushing(k) for k in numbers(started)})

    def _step(self, state: Tensor, t: int) -> Tensor:
        return self.run.step(state, at(self.values, t), t)[0]

    def _back(self, state: Tensor, t: int, adjoint: Tensor, clock: Clock) -> Tensor:
        with clock.piece("back"):
            return pull_back(self.run, state, at(self.values, t), t, adjoint, self.learn)[0]

    def _looks(self, state: Tensor) -> tuple[Piece, Piece]:
        clock, found = Clock(self.device), list[Piece]()
        for look in (self.run.outer_loss, self.run.outer_gradient):
            with watched(self.device) as peak:
                for _ in range(_LOOKS):
                    with clock.piece(look.__name__):
                        look(state[0])
            found.append(Piece(clock.median(look.__name__), peak.bytes))
        return found[0], found[1]

    def _storing(self, store: str, states: Sequence[Tensor], final: Tensor) -> Storing:
        """Keep states that were visited, and have them again."""
        clock, free = Clock(self.device), free_bytes(torch.device("cpu"))
        if store == "host" and self.run.steps * self.run.state_bytes > free / 2:
            return Storing(
                refused="All states would take more than half of the host's free memory."
            )

        def replay(state: Tensor, t: int) -> Tensor:
            with clock.piece("replay"):
                return self._step(state, t)

        try:
            trajectory = STORES[store]().trajectory(self.run)
            for state in states:
                with clock.piece("write"):
                    trajectory.append(state)
        except OSError as error:  # the disk is too small
            return Storing(refused=str(error))
        sweep = trajectory.backwards(final, replay)
        for _ in states:
            with clock.piece("read"):
                next(sweep)
        return Storing(clock.median("write"), clock.median("read"), clock.median("replay"))

    def _integers(self, reversal: Reversal) -> Integers:
        run, clock, state = self.run, Clock(self.device), reversal.state.floats()
        with run.isolated():
            with watched(self.device) as going:
                for t in range(self.count):
                    with clock.piece("step"):
                        reversal.append(state)
                        _, gradient = run.gradient(state[0], t, at(self.values, t))
                        state = reversal.advance(gradient, t)
            sweep, adjoint = reversal.backwards(state, self._step), torch.ones_like(state)
            with watched(self.device) as coming:
                for _ in range(self.count):
                    with clock.piece("undo"):
                        t, state = next(sweep)
                    adjoint = self._back(state, t, adjoint, clock)
        return Integers(
            Piece(clock.median("step"), going.bytes),
            Piece(clock.median("undo"), coming.bytes),
            Piece(clock.median("back"), coming.bytes),
            limbs(reversal),
        )

    def _pushing(self, count: int) -> Piece:
        """A step with so many tangents."""
        run, clock = self.run, Clock(self.device)
        state = run.initial(at(self.values, 0))
        tangents = state.new_zeros(count, *state.shape)
        with watched(self.device) as peak:
            # Fewer of the long ones: each is worth two plain steps per tangent.
            for t in range(min(self.count, max(4, 2 * self.count // count))):
                with clock.piece("step"):
                    now = at(self.values, t)
                    seeds = {
                        n: torch.ones_like(now[n]).expand(count, *now[n].shape) for n in self.learn
                    }
                    state = Forward().push_step(run, state, now, t, tangents, seeds)
        return Piece(clock.median("step"), peak.bytes)


def numbers(started: Iterable[int]) -> list[int]:
    """Of how many tangents to measure a step: the fewest and the most, and one number between."""
    fewest, most = max(min(started), 1), max(started)
    if most > _MOST:
        fewest, most = min(fewest, _MOST // 2), _MOST
    return sorted({fewest, (fewest + most) // 2, max(most, 1)})


def limbs(reversal: Reversal) -> int:
    """Which a whole run spills: each factor n/d loses log2(d/n) bits at each step."""
    spilled = 0
    for n, d in reversal.state.factors.fractions.values():
        capacity = 62 - math.log2(max(int(d.max()), 1))
        spilled += int((d.double() / n).log2().sum().item() / capacity)
    return spilled
