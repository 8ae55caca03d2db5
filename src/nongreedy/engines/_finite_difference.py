"""Finite differences: the judge of every other engine. Common random numbers throughout."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from ..errors import check_number
from ..schedules import Schedule
from ._engine import Engine, Hypergradient
from ._progress import OnStep, ignore, progress_of
from ._run import Run
from ._runner import Rollout

DIFFERENCES = "differences"  # name of the loop, for whoever keeps its state

# Order of accuracy -> (offset in units of the step, weight) pairs of a central difference.
_STENCILS: dict[int, tuple[tuple[float, float], ...]] = {
    2: ((1.0, 0.5), (-1.0, -0.5)),
    4: ((1.0, 8 / 12), (-1.0, -8 / 12), (2.0, -1 / 12), (-2.0, 1 / 12)),
}


@final
@dataclass(frozen=True)
class FiniteDifference(Engine):
    r"""Central differences of the outer loss, one coefficient at a time.

    .. math:: G_j \approx \frac{J(c + \epsilon e_j) - J(c - \epsilon e_j)}{2 \epsilon}

    Args:
        step: epsilon, relative to ``max(|c_j|, floor)``.
        order: 2, or 4 for the five-point stencil.
        floor: Smallest scale of a coefficient.

    Raises:
        ValueError: Unknown order, or a step that is not positive.

    Source: textbook; used as the test oracle, in float64.

    .. code-block:: bibtex

        @article{fornberg1988generation,
          author    = {Fornberg, Bengt},
          title     = {Generation of Finite Difference Formulas on Arbitrarily Spaced Grids},
          journal   = {Mathematics of Computation},
          volume    = {51}, number = {184}, pages = {699--706}, year = {1988}
        }

    Cannot: be exact, or be cheap: 2 or 4 runs per coefficient.

    Example:
        >>> FiniteDifference(order=4).order
        4
    """

    step: float = 1e-5
    order: int = 2
    floor: float = 1e-2

    needs_states = False
    differentiates = False

    def __post_init__(self) -> None:
        if self.order not in _STENCILS:
            raise ValueError(f"`order` must be one of {sorted(_STENCILS)}, but got {self.order}.")
        check_number("step", self.step)
        check_number("floor", self.floor)

    def inexact_because(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> str:
        """It approximates, whatever the run."""
        return "differences are the judge, not the judged"

    def sweep_cost(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """`order` plain runs for each coefficient."""
        return float(self.order * sum(len(schedule[name]) for name in learn))

    def states_held(self, run: Run, schedule: Schedule, learn: Iterable[str]) -> float:
        """Not one of an earlier step."""
        return 0.0

    def differentiate(
        self, rollout: Rollout, learn: Iterable[str], on_step: OnStep = ignore
    ) -> Hypergradient:
        """Differences around a finished rollout."""
        run, schedule, learn = rollout.run, rollout.schedule, list(learn)
        progress = progress_of(on_step)
        entries = [(name, j) for name in learn for j in range(len(schedule[name]))]
        saved = progress.begin(DIFFERENCES)
        slopes: list[float] = saved["slopes"] if saved else []
        for name, j in entries[len(slopes) :]:
            direction = torch.zeros_like(schedule[name])
            direction[j] = 1.0
            width = self.step * max(abs(schedule[name][j].item()), self.floor)
            slopes.append(self.slope(run, schedule, name, direction, width, progress))
            if progress.due(DIFFERENCES):
                progress.keep(DIFFERENCES, len(slopes), {"slopes": slopes})
        gradients = {name: torch.zeros(len(schedule[name])).double() for name in learn}
        for (name, j), slope in zip(entries, slopes, strict=True):
            gradients[name][j] = slope
        return Hypergradient(rollout.outcome.loss, rollout.outcome.accuracy, gradients)

    def slope(
        self,
        run: Run,
        schedule: Schedule,
        name: str,
        direction: Tensor,
        width: float,
        on_step: OnStep = ignore,
    ) -> float:
        """dJ along a direction of the coefficients of `name`, from differences of this width."""
        total = 0.0
        for offset, weight in _STENCILS[self.order]:
            moved = schedule[name] + offset * width * direction
            shifted = schedule.with_coefficients({name: moved})
            total += weight * self.rollout(run, shifted, on_step=on_step).outcome.loss
        return total / width
