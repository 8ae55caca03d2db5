"""A reversible run swept from checkpoints instead of being undone: what `Reversible` must equal."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

import nongreedy as ng
from nongreedy.engines import Rollout, Trajectory
from nongreedy.engines._integers import Reversal
from nongreedy.engines._run import Values, at
from nongreedy.engines._trajectory import Checkpointed, Replay


class IntegerCheckpoints(Trajectory):
    """Every k-th integer state, k about the square root of T; the others are computed again.

    A checkpoint has the slots and the information buffers' present limbs, from which a product takes
    its low digit: the next steps depend on both. The end of each replayed segment must equal the
    next checkpoint in all of these integers.

    Args:
        reversal: The integer run, which is moved on and set back; it is never undone.
        run, values: Where its gradients come from.
    """

    def __init__(self, reversal: Reversal, run: ng.Run, values: Values):
        self._reversal, self._run, self._values = reversal, run, values
        self.kept = Checkpointed(run.steps)

    def append(self, state: Tensor) -> None:
        del state
        self.kept.append(self._read())

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        del final, replay  # a replay of floating-point states
        for t, integers in self.kept.backwards(self._read(), self._step):
            self._set(integers)
            yield t, self._reversal.state.floats()

    def _step(self, integers: Tensor, step: int) -> Tensor:
        self._set(integers)
        parameters = self._reversal.state.floats()[0]
        _, gradient = self._run.gradient(parameters, step, at(self._values, step))
        self._reversal.advance(gradient, step)
        return self._read()

    def _read(self) -> Tensor:
        """Slots and limbs, shape (slots + buffers, P)."""
        state = self._reversal.state
        limbs = [buffer.limb for buffer in state.buffers.values()]
        return torch.stack([*state.integers, *limbs])

    def _set(self, integers: Tensor) -> None:
        state = self._reversal.state
        slots, limbs = integers.split([len(state.integers), len(state.buffers)])
        state.integers.copy_(slots)
        for buffer, limb in zip(state.buffers.values(), limbs, strict=True):
            buffer.put(limb.clone())
            buffer.spilled.clear()  # full limbs are for going back


def checkpointed_integers(run: ng.Run, schedule: ng.Schedule) -> Rollout:
    """The run that `Reversible` makes, step by step, kept as checkpoints."""
    values = run.values(schedule)
    reversal, losses = ng.Reversible(verify=False).reversal(run, values), []
    trajectory = IntegerCheckpoints(reversal, run, values)
    rational = {name: v.to(run.dtype) for name, v in reversal.state.factors.values.items()}
    values = {**values, **rational}
    state = reversal.state.floats()
    with run.isolated():
        for t in range(run.steps):
            trajectory.append(state)
            for buffer in reversal.state.buffers.values():
                buffer.spilled.clear()
            loss, gradient = run.gradient(state[0], t, at(values, t))
            state = reversal.advance(gradient, t)
            losses.append(loss)
        outcome = run.outer_loss(state[0])
    return Rollout(run, schedule, values, outcome, losses, state, trajectory)
