"""Reverse mode: one sweep backwards, every per-step hypergradient, whatever their number.

Aliases: backpropagation through training, adjoint method, replay. arXiv:1703.01785 (reverse mode),
arXiv:2503.13751 (replay from checkpoints).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import final

from torch import Tensor

from ..errors import DivergedError
from ..schedules import Schedule
from ._adjoint import pull_back_at
from ._engine import Engine, Hypergradient
from ._explosion import check_limit, shown, swept_backwards
from ._leaf import Leaf
from ._progress import OnStep, ignore, progress_of
from ._run import Run, at
from ._runner import Rollout
from ._store import STORES, Auto, Store
from ._sweep import Sweep
from ._trajectory import Trajectory

SWEEP = "reverse sweep"  # name of the loop, for whoever keeps its state


@final
@dataclass(frozen=True)
class Reverse(Engine):
    r"""Exact hypergradients by the adjoint recursion, at the cost of two to four more runs.

    With :math:`s_{t+1} = U(s_t, g_t, h_t)` and :math:`g_t = \nabla L_t(\theta_t)`:

    .. math:: (\bar s', \bar g, \bar h_t) = \bar s_{t+1} \cdot \partial U, \qquad
              \bar s_t = \bar s' + (H_t \bar g, 0, \dots)

    one vector-Jacobian product of the update and **one** Hessian-vector product per step, for one
    hyperparameter or a hundred thousand.

    Args:
        store: `Graphs()` keeps each gradient as it was taken, with its graph, of all steps or of the
            last ones, so that nothing is computed again (two more runs, much memory). `Device()`,
            `Host()`, `Disk()` keep all T states (three more runs); `Checkpoints()` keeps
            :math:`2\sqrt T` and computes the others again (four). `Auto()` picks by the bytes that are
            free. The results have the same bits. Or a short name: ``"graphs"``, ``"device"``,
            ``"host"``, ``"disk"``, ``"checkpoint"``, ``"auto"``.
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

    Cannot: stop early with a partial hypergradient; differentiate kernels that lack a second
    derivative.

    Example:
        >>> Reverse("auto") == Reverse(Auto())
        True
    """

    store: Leaf[Store] = Leaf(Auto, Store, STORES)
    growth_limit: float | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        return shown(self)

    def __post_init__(self) -> None:
        check_limit(self.growth_limit)

    def trajectory(self, run: Run) -> Trajectory:
        return self.store.trajectory(run)

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """The derivative of each gradient, worth two, and what has to be computed again for it."""
        return 1.0 + run.recorded_at + self.store.settled(run).cost(run)

    def settled(self, run: Run) -> Reverse:
        """By the store that this one means for a run, by the memory that is free now."""
        return replace(self, store=self.store.settled(run))

    def states_held(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """Those that the store keeps on the device."""
        return self.store.states_held(run)

    def differentiate(
        self, rollout: Rollout, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Sweep backwards from a kept rollout, whose trajectory is consumed."""
        run, trajectory = rollout.run, rollout.taken()
        if trajectory is None:
            raise ValueError("This rollout kept no states. Make it with keep=True.")
        values, learn = rollout.values, list(learn)
        own = [name for name in learn if name in run.task.learnable]

        def replay(state: Tensor, t: int) -> Tensor:
            return run.step(state, at(values, t), t)[0]

        progress, left = progress_of(on_step), run.steps
        with run.isolated():
            outcome, gradient = run.outer_gradient(rollout.answer)
            adjoint = run.optimizer.answered(gradient, rollout.last)
            sweep = Sweep(rollout, learn, gradient, self.growth_limit)
            if saved := progress.begin(SWEEP):
                left, adjoint = saved["step"] + 1, saved["adjoint"].to(adjoint.device)
                sweep.restore(saved)
            trajectory.readings, recorded = sweep.readings, False
            with sweep.readings.first():
                for t, state in trajectory.backwards(rollout.last, replay):
                    if t >= left:  # swept before
                        continue
                    now = at(values, t)
                    kept = trajectory.point(t, own)
                    point = kept or run.linearize(state[0], t, now, own)
                    adjoint, pulled = pull_back_at(run, point, state, now, adjoint, learn)
                    sweep.add(point, adjoint[0], pulled, t)
                    recorded = kept is not None
                    del point, kept  # its graph, before the next one is made
                    if progress.due(SWEEP):
                        progress.keep(SWEEP, t - 1, {"adjoint": adjoint, **sweep.tables})
                    progress(t)
            norms, sums = sweep.norms, sweep.sums
            if recorded:  # nothing was computed again so far
                loss, coarse = run.first_loss(values)
                run.check_replay(loss, rollout.losses[0], 0, coarse)
            if not bool(adjoint.isfinite().all()):
                raise DivergedError("adjoint", 0, run.steps, swept=swept_backwards(0, run.steps))
            sums.add(run.pull_back_initial(adjoint[0], at(values, 0), learn), 0)
        return Hypergradient(
            outcome.loss, outcome.accuracy, sums.gradients(), sums.per_step, adjoint[0],
            adjoint_norms=norms,
        )  # fmt: skip
