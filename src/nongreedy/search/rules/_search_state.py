"""Where the default rule's search stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

from ...engines import Hypergradient
from ...schedules import Hyperparameter
from ._rule import OuterState
from ._rungs import automatic, ladder, on_rung


@final
@dataclass(frozen=True)
class SearchState(OuterState):
    """Where the search stands.

    Attributes:
        scaling: Still looking for the scale: one coefficient each, one seed.
        level: Rung of the ladder of bases, from coarse to fine.
        failures: Outer steps in a row without an improvement on the finest rung.
        sweeps: Hypergradients of this very schedule from earlier outer steps, on other seeds.
        tried: Whether the moves that need no derivative were tried from this schedule.
        hurried: Whether the budget is too small for the whole ladder.
        width: W* of automatic windows of the learning rate, in steps; 0 until it is known.
    """

    hyperparameters: Mapping[str, Hyperparameter] = field(default_factory=dict)
    scaling: bool = True
    level: int = 0
    failures: int = 0
    sweeps: tuple[Hypergradient, ...] = ()
    tried: bool = False
    hurried: bool = False
    width: float = 0.0

    @property
    def automatic(self) -> bool:
        """Whether windows are to be found by evidence."""
        return any(automatic(hyper.basis) for hyper in self.hyperparameters.values())

    @property
    def rungs(self) -> int:
        """Of the longest ladder."""
        return max(len(ladder(hyper)) for hyper in self.hyperparameters.values())

    def on_level(self, level: int, steps: int) -> SearchState:
        """The same curves on the bases of a rung (the finest at most); splitting costs nothing."""
        level = min(level, self.rungs - 1)
        schedule = on_rung(self.schedule, self.hyperparameters, level, steps)
        climbed = level != self.level
        # Only per-step derivatives can be projected on the new bases.
        sweeps = tuple(h for h in self.sweeps if h.per_step or not climbed)
        tried = self.tried and not climbed
        return replace(self, level=level, schedule=schedule, sweeps=sweeps, tried=tried)
