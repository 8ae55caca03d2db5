"""From averages to an architecture whose measured time is near the target."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ._architecture import Architecture
from ._backends import Backend
from ._checkpoint import Checkpoint
from ._data import Data
from ._profile import measure
from ._progress import Progress, Watch
from ._readout import Readout
from ._state import State
from ._stopwatch import Stopwatch
from ._table import CostTable

_PACE = 1.2  # a machine that has become so much slower or faster is worth a word
_NEAR = 0.03  # of the target: a measured time that is closer needs no second choice
_CHOICES = 5  # at most, each measured and the table corrected by it


@dataclass(frozen=True)
class Chosen:
    """An architecture, the table after it was measured, and what was predicted before."""

    architecture: Architecture
    table: CostTable
    predicted: float
    measured: float | None

    def off(self, target: float) -> float:
        """How far the measured time is from the target, as a share; 0 where nothing is measured."""
        return 0.0 if self.measured is None else abs(self.measured / target - 1)


class Choosing:
    """The architecture: by the averages, by flips, and by the stopwatch."""

    def __init__(self, state: State, target: float, room: float, judges: Data, told: Watch):
        self.state, self.target, self.room, self.told = state, target, room, told
        self.warned = False
        averages = state.averages.values
        if not averages:  # a search without a step after its warm-up knows nothing of its gates
            averages = [torch.ones_like(b.thresholds).detach() for b in state.network.blocks]
        self.readout = Readout(
            state.network, averages, judges, state.recipe.loss, state.recipe.batch_size
        )

    def kept(self, kept: Checkpoint) -> Chosen | None:
        """What a checkpoint knows already."""
        if (row := kept.stages.get("found")) is None:
            return None
        self.readout.losses = {Architecture.from_json(a): loss for a, loss in row["losses"]}
        self.readout.spent = row["spent"]
        architecture = Architecture.from_json(row["architecture"])
        table = CostTable.from_json(row["table"])
        return Chosen(architecture, table, row["predicted"], row["measured"])

    def best(self, backend: Backend, stopwatch: Stopwatch | None, kept: Checkpoint) -> Chosen:
        """Choose, measure, correct the table by what was measured, and choose again."""
        tries = list[Chosen]()
        turns = _CHOICES if stopwatch else 1
        for turn in range(turns):
            self.told(Progress("choose", turn, turns, 0.0))
            (architecture, table), measured = self._choose(tries), None
            if architecture is None:
                break
            predicted = table.total(architecture)
            if stopwatch is not None:
                table, measured = self._measured(architecture, table, backend, stopwatch)
            tries.append(Chosen(architecture, table, predicted, measured))
            if tries[-1].off(self.target) <= _NEAR:
                break
        self.told(Progress("choose", turns, turns, 0.0))
        chosen = min(tries, key=lambda each: each.off(self.target))
        row = {
            "architecture": chosen.architecture.to_json(), "table": chosen.table.to_json(),
            "predicted": chosen.predicted, "measured": chosen.measured, "spent": self.readout.spent,
            "losses": [(each.to_json(), loss) for each, loss in self.readout.losses.items()],
        }  # fmt: skip
        kept.keep("found", row)
        return chosen

    def _measured(
        self, architecture: Architecture, table: CostTable, backend: Backend, stopwatch: Stopwatch
    ) -> tuple[CostTable, float]:
        """The time of a network, and the table as the machine is now: the cheapest network and the most
        expensive one are measured in the same rounds, and around this one the table is right."""
        network, chosen = self.state.network, [architecture, *table.extremes()]
        plain = [network.plain(each) for each in chosen]
        times = measure(plain, network.input_shape, backend, stopwatch=stopwatch)
        before = sum(self.state.table.total(each) for each in chosen[1:])
        self._warn_of_pace(sum(times[1:]) / before)
        table = table.calibrated(list(zip(chosen, times, strict=True)))
        return replace(table, fixed=table.fixed + times[0] - table.total(architecture)), times[0]

    def _warn_of_pace(self, pace: float) -> None:
        if not 1 / _PACE <= pace <= _PACE and not self.warned:
            self.warned = True
            warnings.warn(
                f"This machine takes {pace:.2f} times as long as when the table was measured. The target is "
                "compared with what networks take now: end other work, or measure again by nas.profile.",
                stacklevel=5,
            )

    def _choose(self, tries: Sequence[Chosen]) -> tuple[Architecture | None, CostTable]:
        """And the table by which it is chosen.

        At first the best; then one that differs little from what came nearest, for which alone the
        correction of the table is right. None where that is as near as can be. Where the machine's pace has
        changed, the first choice was by another table: then once more the best, by the corrected one.
        """
        if tries and not (self.warned and len(tries) == 1):
            nearest = min(tries, key=lambda each: each.off(self.target))
            aim = (1 - _NEAR) * self.target, self.target
            for table in self._corrected(nearest):
                found = self.readout.near(nearest.architecture, table, *aim)
                if found is not None:
                    return (None if found == nearest.architecture else found), table
            return None, nearest.table
        table = tries[0].table if tries else self.state.table
        most, least = self.target, self.target * (1 - self.room)
        start = self.readout.ranked(table, least, most)
        if start is None:  # none costs so much, or the corrected table has none so cheap
            least = -float("inf")
            start = self.readout.ranked(table, least, most) or table.extremes()[0]
        self.state.network.gating.progress = 1.0
        return self.readout.improved(start, table, least, most), table

    def _corrected(self, nearest: Chosen) -> Iterator[CostTable]:
        """With its error as an offset of all networks; then, where that leaves none, as a share of each."""
        yield nearest.table
        first = self.state.table
        share = (nearest.measured or nearest.predicted) / first.total(nearest.architecture)
        rows = tuple(tuple(share * cost for cost in row) for row in first.costs)
        yield replace(first, costs=rows, fixed=share * first.fixed)
