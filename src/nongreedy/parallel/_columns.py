"""Forward mode by many ranks, each of which carries some of the tangents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, final

import torch

from ..engines import Forward, Hypergradient, Run
from ..engines._directions import Axes
from ..engines._forward import TangentEngine
from ..engines._progress import OnStep, ignore
from ..errors import DivergedError
from ..schedules import Schedule
from ._ranks import Ranks


@final
class Columns(TangentEngine):
    """:class:`nongreedy.Forward` whose tangents are split among ranks: rank k of n carries every n-th.

    All ranks train the same run, each with its own tangents, and tell each other what these came to. So a
    hypergradient takes 1 + 2 K / n plain runs for K coefficients, and memory for K / n tangents.

    Args:
        ranks: All of them must make the same calls.
        chunk: As of :class:`nongreedy.Forward`.

    Raises:
        ValueError: Fewer coefficients than ranks.
        DivergedError: On all ranks, where one of them meets it.

    Source: arXiv:2007.07869, section 3 (:cite:`micaelli2021gradient`).

    Cannot: share the plain run, which each rank makes; give per-step hypergradients.

    Example:
        >>> Columns(Ranks(), chunk=8).chunk
        8
    """

    together: ClassVar[bool] = True

    def __init__(self, ranks: Ranks, chunk: int | None = None):
        self._ranks, self._forward, self.chunk = ranks, Forward(chunk), chunk

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """That of one process: what is counted is gradients, whoever computes them."""
        return self._forward.sweep_cost(run, schedule, learn)

    def states_held(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """One for each tangent of a rank."""
        return self._forward.states_held(run, schedule, learn) / self._ranks.size

    def hypergradient(
        self, run: Run, schedule: Schedule, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Train once with tangents."""
        axes, mine = (
            Axes(schedule, learn, run.steps),
            slice(self._ranks.rank, None, self._ranks.size),
        )
        if len(axes.starts) < self._ranks.size:
            raise ValueError(
                f"{len(axes.starts)} coefficients are too few for {self._ranks.size} ranks, each of which "
                "carries at least one tangent. Use fewer ranks, or engine=ng.Forward()."
            )
        rows = {name: table[mine] for name, table in axes.directions.items()}
        try:
            found = self._forward.push(run, schedule, rows, axes.starts[mine], on_step)
        except DivergedError as error:
            found = error
        told = self._ranks.gather(found)
        products = torch.zeros(len(axes.starts), dtype=torch.float64)
        for rank, one in enumerate(told):
            if isinstance(one, DivergedError):
                raise one
            outcome, products[rank :: self._ranks.size] = one
        return Hypergradient(outcome.loss, outcome.accuracy, axes.by_name(products))
