"""Reverse mode: one sweep backwards, every per-step hypergradient, whatever their number.

Aliases: backpropagation through training, adjoint method, replay. arXiv:1703.01785 (reverse mode),
arXiv:2503.13751 (replay from checkpoints).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from ..errors import DivergedError
from ..schedules import Schedule, TimeBasis
from ._engine import Engine, Hypergradient, Rollout
from ._explosion import AdjointNorms, checked_limit, shown
from ._run import Run, at
from ._trajectory import STORES, Trajectory, checked_store, choose_store
from ._watch import OnStep, ignore, watching

SWEEP = "reverse sweep"  # name of the loop, for whoever keeps its state


@final
@dataclass(frozen=True)
class Reverse(Engine):
    r"""Exact hypergradients by the adjoint recursion, at the cost of about three more runs.

    With :math:`s_{t+1} = U(s_t, g_t, h_t)` and :math:`g_t = \nabla L_t(\theta_t)`:

    .. math:: (\bar s', \bar g, \bar h_t) = \bar s_{t+1} \cdot \partial U, \qquad
              \bar s_t = \bar s' + (H_t \bar g, 0, \dots)

    one vector-Jacobian product of the update and **one** Hessian-vector product per step, for one
    hyperparameter or a hundred thousand.

    Args:
        store: ``"device"``, ``"host"``, ``"disk"`` keep all T states; ``"checkpoint"`` keeps
            :math:`2\sqrt T` and computes the others again (one more run); ``"auto"`` picks by the
            bytes that are free.
        growth_limit: How many times as large as the gradient of the outer loss the adjoint of the
            weights may become before it ends the sweep; None is what the precision bears
            (:mod:`nongreedy.engines._explosion`), 8e6 in float32 and 5e15 in float64. ``math.inf``
            sweeps on, to study chaos.

    Raises:
        ValueError: Unknown store, or a limit of 1 or less.
        DivergedError: A non-finite loss, state or adjoint; an adjoint beyond the limit.
        ReplayError: A second computation of a step differs from the first.

    Source: arXiv:2007.07869, section 3, the problem (:cite:`micaelli2021gradient`);
    arXiv:1703.01785, algorithm 1 (:cite:`franceschi2017forward`).

    .. code-block:: bibtex
        :caption: if store == "checkpoint"

        @misc{engstrom2025optimizing,
          author    = {Engstrom, Logan and Ilyas, Andrew and Chen, Benjamin and Feldmann, Axel
                       and Moses, William and Madry, Aleksander},
          title     = {Optimizing {ML} Training with Metagradient Descent},
          year      = {2025}, eprint = {2503.13751}, archivePrefix = {arXiv}
        }

    Cannot: stop early with a partial hypergradient; differentiate kernels that lack a second
    derivative.

    Example:
        >>> Reverse(store="checkpoint")
        Reverse(store='checkpoint')
    """

    store: str = "auto"
    growth_limit: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        checked_store(self.store)
        checked_limit(self.growth_limit)

    def __repr__(self) -> str:
        return shown("Reverse", self.growth_limit, store=self.store)

    def _chosen(self, run: Run) -> str:
        return choose_store(self.store, run.state_bytes, run.steps, run.task.device)

    def trajectory(self, run: Run) -> Trajectory:
        """An empty trajectory of the chosen store."""
        return STORES[self._chosen(run)](run.steps)

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """A gradient once more and its derivative, worth two: 3. From checkpoints also the step: 4."""
        return 4.0 if self._chosen(run) == "checkpoint" else 3.0

    def differentiate(
        self, rollout: Rollout, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Sweep backwards from a kept rollout, whose trajectory is consumed."""
        run, trajectory = rollout.run, rollout.trajectory
        if trajectory is None:
            raise ValueError("This rollout kept no states. Make it with keep=True.")
        rollout.trajectory = None
        values, learn = rollout.values, list(learn)
        found = Found(rollout.schedule, learn, run.steps)

        def replay(state: Tensor, t: int) -> Tensor:
            return run.step(state, at(values, t), t)[0]

        watch, left = watching(on_step), run.steps
        with run.isolated():
            outcome, gradient = run.outer_gradient(rollout.final[0])
            adjoint = torch.zeros_like(rollout.final)
            adjoint[0] = gradient
            grown = AdjointNorms(gradient, run.steps, self.growth_limit)
            if saved := watch.begin(SWEEP):
                left, adjoint = saved["step"] + 1, saved["adjoint"].to(adjoint.device)
                found.restore(saved)
                grown.restore(saved["norms"])
            for t, state in trajectory.backwards(rollout.final, replay):
                if t >= left:  # swept before
                    continue
                adjoint, pulled = pull_back(run, state, at(values, t), t, adjoint, learn)
                found.add(pulled, t)
                grown.add(adjoint[0], t)
                if watch.due(SWEEP):
                    kept = {"adjoint": adjoint, "norms": grown.norms, **found.tables}
                    watch.keep(SWEEP, t - 1, kept)
                watch(t)
            if not bool(adjoint.isfinite().all()):
                raise DivergedError("adjoint", 0, run.steps)
            found.add(run.pull_back_initial(adjoint[0], at(values, 0), learn), 0)
        return Hypergradient(
            outcome.loss, outcome.accuracy, found.gradients(), found.per_step, adjoint[0],
            adjoint_norms=grown.norms,
        )  # fmt: skip


class Found:
    """Adjoints of hyperparameters, summed in float64: step by step, or in all for variables."""

    def __init__(self, schedule: Schedule, learn: Iterable[str], steps: int):
        self.steps, self.bases = steps, {name: schedule.curves[name].basis for name in learn}
        self.per_step, self.total = dict[str, Tensor](), dict[str, Tensor]()
        for name, basis in self.bases.items():
            over_time = isinstance(basis, TimeBasis)
            table, size = (self.per_step, steps) if over_time else (self.total, basis.size(steps))
            table[name] = torch.zeros(size, dtype=torch.float64)

    @property
    def tables(self) -> dict[str, Tensor]:
        """What was summed so far, as one flat table by name."""
        return {f"sum of {name}": table for name, table in (self.per_step | self.total).items()}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from such a table."""
        for name, table in (self.per_step | self.total).items():
            table.copy_(saved[f"sum of {name}"])

    def add(self, pulled: Mapping[str, Tensor], step: int) -> None:
        """Add the adjoints of a step's values."""
        for name, value in pulled.items():
            if name in self.total:
                finite = bool(value.isfinite().all())
                self.total[name] += value.reshape(-1).to("cpu", torch.float64)
            else:
                number = float(value)
                finite = math.isfinite(number)
                self.per_step[name][step] += number
            if not finite:
                raise DivergedError(f"adjoint (of {name})", step, self.steps)

    def gradients(self) -> dict[str, Tensor]:
        """Of the coefficients."""
        return {
            name: self.total[name]
            if name in self.total
            else basis.project(self.per_step[name], self.steps)
            for name, basis in self.bases.items()
        }


def pull_back(
    run: Run,
    state: Tensor,
    values: Mapping[str, Tensor],
    step: int,
    adjoint: Tensor,
    learn: Collection[str],
) -> tuple[Tensor, dict[str, Tensor]]:
    """One step of the adjoint recursion: (adjoint of s_t, adjoint of each learned value)."""
    point = run.linearize(state[0], step, values, learn)
    settings = [name for name in learn if name not in run.task.learnable]
    on_state, on_gradient, on_values = run.optimizer.pull_back(
        state, point.gradient.detach(), values, adjoint, settings
    )
    curved, on_hypers = point.pull_back(on_gradient)
    on_state[0] += curved
    return on_state, {**on_values, **on_hypers}
