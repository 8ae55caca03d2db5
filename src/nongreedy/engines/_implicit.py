"""The implicit function theorem at the end of a run: no trajectory, one linear system."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import SolveError, check_number, check_whole
from ..schedules import Schedule
from ._adjoint import AdjointSums
from ._engine import Engine, Hypergradient
from ._leaf import Leaf
from ._linear_solver import SOLVERS, LinearSolver, Neumann
from ._linearized import Linearized
from ._loss_only import refuse_initialization, refuse_settings
from ._progress import OnStep, ignore
from ._run import Run, Values, at
from ._runner import Rollout

_ZERO = (
    "At a minimum of the training loss nothing depends on the way there: its implicit derivative is "
    "zero. Give a fixed number, or use ng.Reverse()."
)


@final
@dataclass(frozen=True)
class Implicit(Engine):
    r"""Hypergradients of the training loss's hyperparameters from the end of the run alone.

    .. math:: \frac{dJ}{dh} = -\nabla L_\mathrm{val}(\theta_T)^\top (H + d I)^{-1}
              \partial_\theta \partial_h L, \qquad
              H = \partial_\theta^2 L, \qquad L = \frac 1 n \sum_{t = T - n}^{T - 1} L_t(\cdot, h_t)

    Exact where :math:`\theta_T` is a minimum of L with a positive definite Hessian, the solve is
    exact and d is zero. Elsewhere it is biased: `Reverse` differentiates the run that was made.

    L averages the batches of the last n steps, each with its own augmentation, dropout and values:
    the same at every call. So ``per_step`` is zero but for those steps, and a window that ended
    before them has no derivative. The relative residual
    :math:`\| (H + d I) x - g \| / \| g \|` of the solve is kept as ``residual``.

    Args:
        solver: `Neumann(iterations, scale)`, `ConjugateGradients(iterations, tolerance)` for a positive
            definite system only, `Nystrom(rank)`, or one of your own. Or a short name: ``"neumann"``,
            ``"cg"``, ``"nystrom"``.
        batches: n; an epoch's number of steps averages over all training data.
        damping: d, added to the Hessian; None is the solver's own: 0.01 for `Nystrom`, which needs a
            positive one, else 0.

    Raises:
        ValueError: Bad settings; a setting of the optimizer, or a hyperparameter that enters the
            initialization; an optimizer with weight decay, whose fixed point is not L's minimum.
        SolveError: An indefinite Hessian met by `ConjugateGradients`, or a solution that is worse than none.

    Source: arXiv:1911.02590 (Neumann), arXiv:1602.02355 (conjugate gradients), arXiv:2302.09726
    (Nystrom).

    An average of the weights (``SGD(average=...)``) is taken for the minimum, as the last weights are.

    Cannot: see learning rates or anything else of the way to the minimum; be right far from one;
    resolve when in the run a value acted.

    Example:
        >>> Implicit(Neumann(iterations=20, scale=0.05), batches=5).shift
        0.0
    """

    solver: Leaf[LinearSolver] = Leaf(Neumann, LinearSolver, SOLVERS)
    batches: int = 1
    damping: float | None = None

    def __post_init__(self) -> None:
        check_whole("batches", self.batches)
        divides = self.solver.divides
        why = f" {type(self.solver).__name__} divides by it." if divides else ""
        check_number("damping", self.shift, why, zero=not divides)

    @property
    def shift(self) -> float:
        """d, settled."""
        return self.solver.damping if self.damping is None else self.damping

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str:
        """It differentiates the minimum that training leads to, not the run."""
        return "it holds at a minimum of the training loss, not at the end of a short run"

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """Three gradients per batch for each product, the residual and the mixed derivative."""
        products = 3.0 * self.batches * (self.solver.products + 2)
        return (products + run.task.validation.count / run.task.batch_size) / run.steps

    def differentiate(
        self, rollout: Rollout, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Solve at the final state, and differentiate the last training gradients once more."""
        run, learn, values = rollout.run, list(learn), rollout.run.values(rollout.schedule)
        self._check(run, values, learn)
        sums, theta = AdjointSums(rollout.schedule, learn, run.steps), rollout.answer
        with run.isolated():
            outcome, gradient = run.outer_gradient(theta)
            steps = range(run.steps - self.batches, run.steps)
            system = _System(run, theta, values, steps, self.solver.symmetric)
            solution, residual = self._solve(system, gradient)
            for t in system.steps:
                _, mixed = system.point(t, learn).pull_back(solution)
                sums.add({name: -slope / self.batches for name, slope in mixed.items()}, t)
                on_step(t)
        return Hypergradient(
            outcome.loss, outcome.accuracy, sums.gradients(), sums.per_step, residual=residual
        )

    def _solve(self, system: _System, right: Tensor) -> tuple[Tensor, float]:
        size = right.norm().item()
        if size == 0:  # the validation loss is level here
            return torch.zeros_like(right), 0.0
        solution = self.solver.solve(system.product, right, self.shift, system.run.seed)
        rest = system.product(solution) + self.shift * solution - right
        residual = rest.norm().item() / size
        if not residual < 1:
            raise SolveError(
                f"{self.solver!r} ended with a relative residual of {residual:.3g}, no better "
                f"than no solution at all. {self.solver.advice}"
            )
        return solution, residual

    def _check(self, run: Run, values: Values, learn: list[str]) -> None:
        refuse_settings(run, learn, _ZERO)
        refuse_initialization(run, at(values, 0), learn, _ZERO)
        if self.batches > run.steps:
            raise ValueError(
                f"`batches` must be at most the run's {run.steps} steps, but got {self.batches}."
            )
        decay = values.get("weight_decay")
        if decay is not None and bool(decay[-1] != 0):
            raise ValueError(
                f"The optimizer's weight_decay={float(decay[-1]):g} pulls away from the minimum of the "
                "training loss. Set it to 0 and put the penalty into the loss, which sees "
                "`hypers.parameters`."
            )


class _System:
    """The mean Hessian of some training batches at one point, a batch's graph at a time."""

    def __init__(self, run: Run, theta: Tensor, values: Values, steps: range, symmetric: bool):
        self.run, self.steps, self._theta, self._values = run, steps, theta, values
        self._symmetric = symmetric

    def point(self, t: int, learn: Iterable[str] = ()) -> Linearized:
        """The training gradient at step t's batch, with its graph."""
        point = self.run.linearize(self._theta, t, at(self._values, t), list(learn))
        if point.gate.used and self._symmetric:
            raise ValueError(
                "The training loss has stop-gradients (detach, no_grad), behind which its Hessian is not "
                "symmetric, as this solver needs it to be. Use Implicit(Neumann())."
            )
        return point

    def product(self, vector: Tensor) -> Tensor:
        """H v, shape (P,)."""
        total = torch.zeros_like(vector)
        for t in self.steps:
            total += self.point(t).pull_back(vector)[0]
        return total / len(self.steps)
