"""The contract of an engine: a run and a schedule in, a hypergradient out."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from ..schedules import Schedule
from ._run import Outcome, Run, at
from ._trajectory import Trajectory
from ._watch import OnStep, ignore, watching

TRAINING = "training"  # name of the loop of a plain run, for whoever keeps its state


@dataclass
class Rollout:
    """A finished run: what it was, what came out, and what the reverse sweep needs.

    Attributes:
        losses: Training loss of each batch before its step, length T.
        values: What the run used at each step, name -> shape (T,): where it is differentiated.
        final: s_T, shape (slots, P).
        trajectory: The visited states, if they were kept.
    """

    run: Run
    schedule: Schedule
    values: Mapping[str, Tensor]
    outcome: Outcome
    losses: list[float]
    final: Tensor
    trajectory: Trajectory | None = None


@dataclass(frozen=True)
class Hypergradient:
    r"""The derivative of the final validation loss with respect to every coefficient.

    Attributes:
        value: Outer loss J.
        accuracy: Validation accuracy, or None where that has no meaning.
        gradients: Name -> dJ/dc, shape (size of the basis,), float64, in the value's own units.
        per_step: Name -> dJ/dh_t, shape (T,), float64; empty for engines that do not know it, and
            without variables. ``basis.project(per_step[name], T) == gradients[name]`` for any basis.
        initial: dJ/d theta_0, shape (P,); None for engines that do not know it.
        standard_error: Name -> standard error of each entry of `gradients`, from engines that
            estimate; empty for exact ones.
        residual: Of the linear system, relative, from engines that solve one; None for others.
        adjoint_norms: :math:`\|\partial J / \partial \theta_t\|_2` for t = 0 .. T, shape (T + 1,),
            float64: the last is the gradient of the outer loss, and their growth towards the first
            says how chaotic training was (:func:`nongreedy.trust`). None for engines without adjoints.
    """

    value: float
    accuracy: float | None
    gradients: dict[str, Tensor]
    per_step: dict[str, Tensor] = field(default_factory=dict)
    initial: Tensor | None = None
    standard_error: dict[str, Tensor] = field(default_factory=dict)
    residual: float | None = None
    adjoint_norms: Tensor | None = None


class Engine(abc.ABC):
    """Turns a run into a hypergradient.

    A plain rollout costs 1; `sweep_cost` is what `differentiate` adds, in the same unit (the worth
    of one plain run's gradients), so that every table can count whole costs.

    Class attributes:
        estimates: Whether hypergradients that are not exact are unbiased and come with a
            `standard_error`; :mod:`nongreedy.testing` then checks that.
        needs_states: Whether `differentiate` needs more of a rollout than its run, its schedule and
            its outcome, so that a remembered one has to be repeated.
    """

    estimates: ClassVar[bool] = False
    needs_states: ClassVar[bool] = True

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str | None:
        """Why the hypergradient of such a run is not the derivative itself; None where it is.

        :mod:`nongreedy.testing` holds an engine to this answer: what it calls exact must agree with
        finite differences, and everything else is skipped for this reason. An engine that refuses
        some runs, by a ValueError, gives the reason here, too.
        """
        del run, schedule, learn
        return None

    @abc.abstractmethod
    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """Cost of `differentiate` in plain runs."""

    @abc.abstractmethod
    def differentiate(
        self, rollout: Rollout, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """The hypergradient at a finished rollout that was made with ``keep=True``."""

    def trajectory(self, run: Run) -> Trajectory | None:
        """An empty place for the states that `differentiate` will want, or None."""
        del run
        return None

    def rollout(
        self, run: Run, schedule: Schedule, *, keep: bool = False, on_step: OnStep = ignore
    ) -> Rollout:
        """Train once. Raises DivergedError at the first non-finite loss."""
        trajectory = self.trajectory(run) if keep else None
        watch, values, losses = watching(on_step), run.values(schedule), list[float]()
        state, start = run.initial(at(values, 0)), 0
        # Where states are kept, the earlier ones are needed, too: such a run begins anew.
        if trajectory is None and (saved := watch.begin(TRAINING)):
            start, losses = saved["step"], saved["losses"]
            state = saved["state"].to(state.device)
        with run.isolated():
            for t in range(start, run.steps):
                if trajectory is not None:
                    trajectory.append(state)
                state, loss = run.step(state, at(values, t), t)
                losses.append(loss)
                if trajectory is None and watch.due(TRAINING):
                    watch.keep(TRAINING, t + 1, {"state": state, "losses": losses})
                watch(t)
            outcome = run.outer_loss(state[0])
        return Rollout(run, schedule, values, outcome, losses, state, trajectory)

    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once and differentiate."""
        kept = self.rollout(run, schedule, keep=True, on_step=on_step)
        return self.differentiate(kept, learn, on_step)
