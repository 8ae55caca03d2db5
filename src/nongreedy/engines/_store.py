"""Stores: where the states of a run are kept until the reverse sweep asks for them."""

from __future__ import annotations

import abc
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import torch

from ..schedules import Value
from ._free_memory import EASY, free_for
from ._graph_size import graph_size
from ._graphed import Graphed
from ._leaf import check_counts
from ._run import Run
from ._trajectory import Checkpointed, InMemory, OnDisk, Trajectory, need_space

# Of what is held, what is resident where nothing is returned to the system.
_LOOSE = 1.2
# Of the graphs that are kept, the part after which it is returned.
_TIDY = 8


@dataclass(frozen=True)
class Store(Value, abc.ABC):
    """Where states are kept: settings alone, which make a trajectory for each run.

    Class attributes:
        replay_cost: What having all states again costs, in plain runs.

    Example:
        >>> Checkpoints(interval=50).replay_cost
        1.0
    """

    replay_cost: ClassVar[float] = 0.0

    @abc.abstractmethod
    def trajectory(self, run: Run, steps: int | None = None) -> Trajectory:
        """An empty place for the states of this run, or of its first steps."""

    @abc.abstractmethod
    def states_held(self, run: Run, steps: int | None = None) -> float:
        """The most memory that is taken on the run's device at once, in states.

        Raises:
            OSError: There is no room for the others where they would be.
        """

    def cost(self, run: Run) -> float:
        """What a sweep computes again, in plain runs: each gradient, and what it takes to have its state."""
        return 1.0 + self.replay_cost

    def settled(self, run: Run) -> Store:
        """The store that this one means for a run: itself, where it leaves nothing open."""
        return self


@final
@dataclass(frozen=True)
class Device(Store):
    """All states where they are made."""

    def trajectory(self, run: Run, steps: int | None = None) -> Trajectory:
        return InMemory()

    def states_held(self, run: Run, steps: int | None = None) -> float:
        return _count(run, steps)


@final
@dataclass(frozen=True)
class Host(Store):
    """All states in the host's memory."""

    def trajectory(self, run: Run, steps: int | None = None) -> Trajectory:
        return InMemory(on_host=True)

    def states_held(self, run: Run, steps: int | None = None) -> float:
        if _count(run, steps) * run.state_bytes > free_for(run.task, torch.device("cpu")) / 2:
            raise OSError("All states would take more than half of the host's free memory.")
        return 2


@final
@dataclass(frozen=True)
class Disk(Store):
    """All states in a temporary file, which vanishes with them.

    Args:
        directory: Where the file is; None is the system's, which TMPDIR sets.
    """

    directory: str | None = None

    def trajectory(self, run: Run, steps: int | None = None) -> Trajectory:
        return OnDisk(_count(run, steps), self.directory)

    def states_held(self, run: Run, steps: int | None = None) -> float:
        need_space(_count(run, steps) * run.state_bytes, self.directory or tempfile.gettempdir())
        return 2


@final
@dataclass(frozen=True)
class Checkpoints(Store):
    r"""Every k-th state; the others are computed again, which costs one more run.

    Args:
        interval: k; None is about :math:`\sqrt T`, with which the fewest are held, :math:`2 \sqrt T`.

    Source: arXiv:2503.13751.

    .. code-block:: bibtex

        @misc{engstrom2025optimizing,
          author    = {Engstrom, Logan and Ilyas, Andrew and Chen, Benjamin and Feldmann, Axel
                       and Moses, William and Madry, Aleksander},
          title     = {Optimizing {ML} Training with Metagradient Descent},
          year      = {2025}, eprint = {2503.13751}, archivePrefix = {arXiv}
        }
    """

    interval: int | None = None

    replay_cost: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_counts(self, "interval")

    def trajectory(self, run: Run, steps: int | None = None) -> Trajectory:
        return Checkpointed(_count(run, steps), self.interval)

    def states_held(self, run: Run, steps: int | None = None) -> float:
        return Checkpointed(_count(run, steps), self.interval).most


@final
@dataclass(frozen=True)
class Graphs(Store):
    r"""The graphs of the last gradients, as they were taken; of the steps before them the states.

    Nothing of a step whose graph is kept is computed again, but the loss of the first one, which tells
    whether the run moved more than its state: a sweep pays two plain steps instead of three. A graph takes
    the memory of all activations, twice: megabytes, where a state takes a few numbers for each weight.

    Args:
        last: How many; None is all. Where it is a number, memory is taken to be tight: what lies free between
            graphs, up to a sixth of them on a CPU, is returned to the system where most is held (2 to 5 %
            of the time).
        before: Keeps the states of the steps before.

    Cannot: know that graphs grow over a run, as those of longer and longer texts: they are weighed at the
    first step. Where a gradient with its graph has other bits than one without (some layers' on some
    devices), states are kept for all steps.

    Example:
        >>> Graphs(last=100, before=Checkpoints())
        Graphs(last=100, before=Checkpoints())
    """

    last: int | None = None
    before: Store = field(default_factory=lambda: Device())

    def __post_init__(self) -> None:
        check_counts(self, "last")
        if not isinstance(self.before, Store) or isinstance(self.before, (Graphs, Auto)):
            raise ValueError(
                f"`before` keeps states, but is {self.before!r}. Use Device(), Host(), Checkpoints() or "
                "Disk()."
            )

    def __repr__(self) -> str:
        given = [f"last={self.last}"] if self.last is not None else []
        given += [f"before={self.before!r}"] if self.before != Device() else []
        return f"Graphs({', '.join(given)})"

    def settled(self, run: Run) -> Store:
        before = self.before.settled(run)
        return replace(self, before=before) if graph_size(run).exact else before

    def kept(self, run: Run) -> int:
        """How many graphs of this run."""
        return min(self.last or run.steps, run.steps) if graph_size(run).exact else 0

    def trajectory(self, run: Run, steps: int | None = None) -> Trajectory:
        first = run.steps - self.kept(run)
        tight = self.last is not None and run.task.device.type == "cpu"
        tidy = max((run.steps - first) // _TIDY, 1) if tight else 0
        return Graphed(self.before.trajectory(run, first), first, tidy)

    def states_held(self, run: Run, steps: int | None = None) -> float:
        graphs = self.kept(run)
        each = 1 + graph_size(run).bytes / run.state_bytes
        return self.before.states_held(run, run.steps - graphs) + graphs * each

    def cost(self, run: Run) -> float:
        return self.before.cost(run) * (1 - self.kept(run) / run.steps)


@final
@dataclass(frozen=True)
class Auto(Store):
    """Of the states the first of device, host and checkpoints that takes no more than it may there, else
    the disk; and as many graphs of the last steps as the rest has room for.

    Args:
        memory: Bytes that states and graphs may take on the run's device, beside what a plain run takes; None
            is half of what is free for states, an eighth where graphs are among them.
    """

    memory: int | None = None

    def __post_init__(self) -> None:
        check_counts(self, "memory")

    def __repr__(self) -> str:
        return "Auto()" if self.memory is None else f"Auto(memory={self.memory})"

    def content(self) -> Mapping[str, Any]:
        """No limit is none, so that studies without one are known by what they were."""
        return {} if self.memory is None else super().content()

    def settled(self, run: Run) -> Store:
        free = free_for(run.task, run.task.device)
        most = free / 2 if self.memory is None else self.memory
        states = self._states(run, most)
        held = states.states_held(run) * run.state_bytes
        room = (free * EASY if self.memory is None else most) - held
        graph = graph_size(run)
        # What a graph's own state takes is counted already where states stay on the device.
        each = graph.bytes + (0 if isinstance(states, Device) else run.state_bytes)
        last = min(int(room / max(each, 1)), run.steps)
        if not graph.exact or last < 1:
            return states
        return Graphs(None if run.steps * each * _LOOSE <= room else last, states)

    def _states(self, run: Run, most: float) -> Store:
        total, device = run.state_bytes * run.steps, run.task.device
        if total <= most:
            return Device()
        if device.type != "cpu" and total <= free_for(run.task, torch.device("cpu")) / 2:
            return Host()
        return Checkpoints() if 2 * run.state_bytes * math.isqrt(run.steps) <= most else Disk()

    def trajectory(self, run: Run, steps: int | None = None) -> Trajectory:
        return self.settled(run).trajectory(run, steps)

    def states_held(self, run: Run, steps: int | None = None) -> float:
        return self.settled(run).states_held(run, steps)

    def cost(self, run: Run) -> float:
        return self.settled(run).cost(run)


def _count(run: Run, steps: int | None) -> int:
    return run.steps if steps is None else steps


STORES: dict[str, type[Store]] = {
    "auto": Auto,
    "graphs": Graphs,
    "device": Device,
    "host": Host,
    "disk": Disk,
    "checkpoint": Checkpoints,
}
