"""The contract of an engine: a run and a schedule in, a hypergradient out."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from ..schedules import Schedule
from ._progress import OnStep, ignore
from ._run import Run
from ._runner import Rollout, Runner


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

    def __repr__(self) -> str:
        told = [f"value={self.value:.3g}"]
        for name, gradient in self.gradients.items():
            size = "" if gradient.numel() == 1 else f" ({gradient.numel()} entries, by norm)"
            told.append(f"{name}={float(gradient.norm() if size else gradient.sum()):.3g}{size}")
        return f"Hypergradient({', '.join(told)})"


class Engine(Runner, abc.ABC):
    """Turns a run into a hypergradient.

    An engine of your own defines `differentiate` and `sweep_cost`; `trajectory` where it wants the
    visited states (:class:`Store` makes some), `inexact_because` where it is not exact. Its public
    attributes are its settings, by which a study tells two searches apart.

    A plain rollout costs 1; `sweep_cost` is what `differentiate` adds, in the same unit (the worth
    of one plain run's gradients), so that every table can count whole costs.

    Class attributes:
        estimates: Whether hypergradients that are not exact are unbiased and come with a
            `standard_error`; :mod:`nongreedy.testing` then checks that.
        needs_states: Whether `differentiate` needs more of a rollout than its run, its schedule and
            its outcome, so that a remembered one has to be repeated.
        differentiates: Whether it takes derivatives of losses and gradients, which are then verified.
        together: Whether all ranks of a search must make each of its sweeps (:mod:`nongreedy.parallel`).
    """

    estimates: ClassVar[bool] = False
    needs_states: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True
    together: ClassVar[bool] = False

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str | None:
        """Why the hypergradient of such a run is not the derivative itself; None where it is.

        :mod:`nongreedy.testing` holds an engine to this answer: what it calls exact must agree with
        finite differences, and everything else is skipped for this reason. An engine that refuses
        some runs, by a ValueError, gives the reason here, too.
        """
        return None

    def settled(self, run: Run) -> Engine:
        """The engine that this one means for a run: itself, where it leaves nothing open, such as to the
        memory that is free now."""
        del run
        return self

    @abc.abstractmethod
    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """Cost of `differentiate` in plain runs."""

    def states_held(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float | None:
        """The most states (each of ``run.state_bytes``) that are held at once, up to a constant.

        :func:`plan` measures short runs and adds to their memory what this grows by. None: it is not
        known, and memory is taken to grow with the steps as evenly as it did in the short runs.

        Raises:
            OSError: There is no room for them outside the device.
        """
        return None

    @abc.abstractmethod
    def differentiate(
        self, rollout: Rollout, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """The hypergradient at a finished rollout that was made with ``keep=True``."""

    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once and differentiate."""
        rollout = self.rollout(run, schedule, keep=True, on_step=on_step)
        return self.differentiate(rollout, learn, on_step)
