"""From averages to an architecture whose measured time is near the target."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ._architecture import Architecture
from ._backends import Backend
from ._checkpoint import Checkpoint
from ._correction import corrected
from ._data import Data
from ._profile import measure
from ._progress import Progress, Watch
from ._readout import Readout
from ._state import State
from ._stopwatch import Stopwatch
from ._table import CostTable

_PACE = 1.2  # a machine that has become so much slower or faster is worth a word
_NEAR = 0.03  # of the target: a measured time that is closer needs no second choice
_AIMS = ((1 - _NEAR, 1.0), (1 - _NEAR, 1 + _NEAR), (0.95, 1.05), (0.9, 1.1), (0.8, 1.2))
_CHOICES = 8  # at most, each measured and the table corrected by it


@dataclass(frozen=True)
class Chosen:
    """An architecture, a table, what was predicted by it, and measured: this network, and in the same rounds
    the cheapest and the most expensive one."""

    architecture: Architecture
    table: CostTable
    predicted: float
    measured: float | None = None
    ends: tuple[float, ...] = ()

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
            self.told(Progress("choose", turn, turns, math.nan))
            table = self._corrected(tries, tries[-1]) if tries else self.state.table
            architecture = self._choose(tries, table)
            if architecture is None:
                break
            found = Chosen(architecture, table, table.total(architecture))
            tries.append(self._measured(found, backend, stopwatch) if stopwatch else found)
            if tries[-1].off(self.target) <= _NEAR:
                break
        self.told(Progress("choose", turns, turns, math.nan))
        chosen = self._nearest(tries)
        if chosen.measured is not None:  # around this one the table is right
            table = self._corrected(tries, chosen)
            off = chosen.measured - table.total(chosen.architecture)
            chosen = replace(chosen, table=replace(table, fixed=table.fixed + off))
        row = {
            "architecture": chosen.architecture.to_json(), "table": chosen.table.to_json(),
            "predicted": chosen.predicted, "measured": chosen.measured, "spent": self.readout.spent,
            "losses": [(each.to_json(), loss) for each, loss in self.readout.losses.items()],
        }  # fmt: skip
        kept.keep("found", row)
        return chosen

    def _measured(self, found: Chosen, backend: Backend, stopwatch: Stopwatch) -> Chosen:
        """With its time, and those of the cheapest network and the most expensive one in the same rounds."""
        network = self.state.network
        plain = [network.plain(each) for each in (found.architecture, *self.state.table.extremes())]
        own, *ends = measure(plain, network.input_shape, backend, stopwatch=stopwatch)
        self._warn_of_pace(sum(ends) / self._ends())
        return replace(found, measured=own, ends=tuple(ends))

    def _ends(self) -> float:
        return sum(self.state.table.total(each) for each in self.state.table.extremes())

    def _warn_of_pace(self, pace: float) -> None:
        if not 1 / _PACE <= pace <= _PACE and not self.warned:
            self.warned = True
            warnings.warn(
                f"This machine takes {pace:.2f} times as long as when the table was measured. The target is "
                "compared with what networks take now: end other work, or measure again by nas.profile.",
                stacklevel=5,
            )

    def _corrected(self, tries: Sequence[Chosen], then: Chosen) -> CostTable:
        """The table by all that was measured, at the pace that the machine had then."""
        first, pace, known = self.state.table, sum(then.ends), list[tuple[Architecture, float]]()
        for each in tries:
            times = (each.measured or 0.0, *each.ends)
            pairs = zip((each.architecture, *first.extremes()), times, strict=True)
            known += [(network, time * pace / sum(each.ends)) for network, time in pairs]
        return corrected(first.times(pace / self._ends()), known)

    def _nearest(self, tries: Sequence[Chosen]) -> Chosen:
        """To the target, if all had been measured at the pace that the machine had last."""
        if not tries[-1].ends:
            return tries[-1]
        now = sum(tries[-1].ends)
        return min(tries, key=lambda each: each.off(self.target * sum(each.ends) / now))

    def _choose(self, tries: Sequence[Chosen], table: CostTable) -> Architecture | None:
        """At first the best; then one that differs little from what came nearest, as near to the target as
        there is one. None where those have been tried. Where the machine's pace has changed, the first
        choice was by another table: then once more the best, by the corrected one.
        """
        if tries and not (self.warned and len(tries) == 1):
            around, seen = self._nearest(tries).architecture, {each.architecture for each in tries}
            for low, high in _AIMS:
                found = self.readout.near(around, table, low * self.target, high * self.target)
                if found is not None and found not in seen:
                    return found
            return None
        most, least = self.target, self.target * (1 - self.room)
        start = self.readout.ranked(table, least, most)
        if start is None:  # none costs so much, or the corrected table has none so cheap
            least = -float("inf")
            start = self.readout.ranked(table, least, most) or table.extremes()[0]
        self.state.network.gating.progress = 1.0
        return self.readout.improved(start, table, least, most)
