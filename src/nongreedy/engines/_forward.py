"""Forward mode: tangents pushed along with the run; memory does not depend on its length.

Aliases: forward-mode differentiation (arXiv:1703.01785), FDS when shared (arXiv:2007.07869).
"""

import abc
import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor

from ..schedules import Schedule
from ._directions import Axes, columns, injected_by, scales_of
from ._engine import Engine, Hypergradient
from ._explosion import TangentSizes
from ._leaf import check_counts
from ._progress import OnStep, ignore, progress_of
from ._readings import Readings
from ._run import Outcome, Run, at
from ._runner import Rollout

TANGENTS = "forward sweep"  # name of the loop, for whoever keeps its state
# (step, s_{t+1}, its tangents, shape (K, slots, P), and what looks at the numbers of the step)
OnTangents = Callable[[int, Tensor, Tensor, Readings], None]


class TangentEngine(Engine):
    """An engine that differentiates while it trains: of a rollout it needs only the settings."""

    needs_states = False

    def differentiate(
        self, rollout: Rollout, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train again, with tangents."""
        return self.hypergradient(rollout.run, rollout.schedule, learn, on_step)

    @abc.abstractmethod
    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once, with tangents."""


@final
@dataclass(frozen=True)
class Forward(TangentEngine):
    r"""Exact hypergradients by pushing one tangent per coefficient through the run.

    .. math:: S_j \leftarrow \partial_s U\, S_j + \partial_g U\, H_t Z_j
              + \partial_h U\, B_{tj}, \qquad
              G_j = \langle \nabla L_\mathrm{val}(a(s_T)), a(S_j) \rangle

    with :math:`Z_j` the parameter slot of :math:`S_j` and a the answer, linear in the state. Columns
    whose window has not started are zero and are skipped.

    Args:
        chunk: Tangents whose update is pushed together; None is all. Memory of the temporaries
            grows with it, the result does not depend on it.

    Raises:
        ValueError: `chunk` below 1.
        DivergedError: A non-finite loss or tangent; a tangent that has outgrown its precision
            (:mod:`nongreedy.engines._explosion`): its coefficient's own rounding would move the
            weights by their size.

    Source: arXiv:2007.07869, section 3 (:cite:`micaelli2021gradient`); arXiv:1703.01785, algorithm 2.

    .. code-block:: bibtex

        @inproceedings{franceschi2017forward,
          author    = {Franceschi, Luca and Donini, Michele and Frasconi, Paolo and Pontil, Massimiliano},
          title     = {Forward and Reverse Gradient-Based Hyperparameter Optimization},
          booktitle = {Proceedings of the 34th International Conference on Machine Learning},
          year      = {2017}, eprint = {1703.01785}, archivePrefix = {arXiv}
        }

    Cannot: give per-step hypergradients; be cheap for many coefficients (two runs each).

    Example:
        >>> Forward(chunk=8)
        Forward(8)
    """

    chunk: int | None = None

    def __post_init__(self) -> None:
        check_counts(self, "chunk")

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """One run for the graph and two for each column, while it is started."""
        starts = [start for _, _, start in columns(schedule, learn, run.steps)]
        return run.recorded_at + 2.0 * sum(1 - start / run.steps for start in starts)

    def states_held(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """One for each tangent."""
        return float(len(columns(schedule, learn, run.steps)))

    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once with tangents."""
        axes = Axes(schedule, learn, run.steps)
        outcome, products = self.push(run, schedule, axes.directions, axes.starts, on_step)
        return Hypergradient(outcome.loss, outcome.accuracy, axes.by_name(products))

    def push(
        self,
        run: Run,
        schedule: Schedule,
        directions: Mapping[str, Tensor],
        starts: Sequence[int],
        on_step: OnStep = ignore,
        on_tangents: OnTangents | None = None,
    ) -> tuple[Outcome, Tensor]:
        r"""Train once with a tangent for each row of `directions`.

        Args:
            directions: Name -> changes of the coefficients, shape (K, size of the basis).
            starts: First step at which each row acts, ascending, length K.
            on_tangents: Called after each step; may change the tangents in place.

        Returns:
            The outcome, and dJ along each row, shape (K,), float64.
        """
        values = run.values(schedule)
        state, injected = run.initial(at(values, 0)), injected_by(schedule, directions, run)
        scales = scales_of(schedule, directions)
        tangents = state.new_zeros(len(starts), *state.shape)
        own = {name: table[0] for name, table in injected.items() if name in run.task.learnable}
        if run.task.initialize is not None and own:
            tangents[:, 0] = run.push_initial(at(values, 0), own)
        sizes = TangentSizes(scales, run.steps, run.dtype, state.device)
        progress, start, readings = progress_of(on_step), 0, Readings(run.task.shards.many)

        def judge(step: int, numbers: Sequence[float]) -> None:
            with readings.counted(step + 1, run.steps):
                sizes.judge(step, numbers)

        # An observer may have a state of its own, which is not kept: then the run begins anew.
        if on_tangents is None and (saved := progress.begin(TANGENTS)):
            start, state = saved["step"], saved["state"].to(state.device)
            tangents.copy_(saved["tangents"])
        with run.isolated(), readings.first():
            begun, coarse = run.first_loss(values)
            for t in range(start, run.steps):
                started = tangents[: bisect.bisect_right(starts, t)]
                seeds = {name: table[t] for name, table in injected.items()}
                state = self.push_step(run, state, at(values, t), t, started, seeds)
                readings.add(t, sizes.of(started[:, 0], state[0]), judge)
                if on_tangents is not None:
                    on_tangents(t, state, tangents, readings)
                elif progress.due(TANGENTS):
                    readings.read()
                    progress.keep(TANGENTS, t + 1, {"state": state, "tangents": tangents})
                progress(t)
            readings.read()
            run.check_replay(run.first_loss(values)[0], begun, 0, coarse)
            outcome, gradient = run.outer_gradient(run.optimizer.answer(state))
        return outcome, (run.optimizer.answer(tangents) @ gradient).cpu().double()

    def push_step(
        self,
        run: Run,
        state: Tensor,
        values: Mapping[str, Tensor],
        step: int,
        tangents: Tensor,
        seeds: Mapping[str, Tensor],
    ) -> Tensor:
        """One step of state and, in place, of the started tangents."""
        point = run.linearize(state[0], step, values, list(seeds))
        frozen, settings = point.gradient.detach(), seeds.keys() - run.task.learnable.keys()
        size = self.chunk or max(len(tangents), 1)
        for low in range(0, len(tangents), size):
            part = tangents[low : low + size]
            rows = {name: seed[low : low + len(part)] for name, seed in seeds.items()}
            curved = point.push_all(part[:, 0], rows)
            moved = {name: rows[name] for name in rows if name in settings}
            run.optimizer.push_forward(state, frozen, values, part, curved, moved)
        return run.optimizer.advance(state, frozen, values)
