"""Stores: where the states of a run are kept until the reverse sweep asks for them."""

from __future__ import annotations

import abc
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import torch

from ..schedules import Value
from ._leaf import check_counts
from ._run import Run
from ._trajectory import Checkpointed, InMemory, OnDisk, Trajectory, need_space


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
    def trajectory(self, run: Run) -> Trajectory:
        """An empty place for the states of this run."""

    @abc.abstractmethod
    def states_held(self, run: Run) -> int:
        """The most states that are on the run's device at once.

        Raises:
            OSError: There is no room for the others where they would be.
        """

    def settled(self, run: Run) -> Store:
        """The store that this one means for a run: itself, where it leaves nothing open."""
        return self


@final
@dataclass(frozen=True)
class Device(Store):
    """All states where they are made."""

    def trajectory(self, run: Run) -> Trajectory:
        return InMemory()

    def states_held(self, run: Run) -> int:
        return run.steps


@final
@dataclass(frozen=True)
class Host(Store):
    """All states in the host's memory."""

    def trajectory(self, run: Run) -> Trajectory:
        return InMemory(on_host=True)

    def states_held(self, run: Run) -> int:
        if run.steps * run.state_bytes > free_bytes(torch.device("cpu")) / 2:
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

    def trajectory(self, run: Run) -> Trajectory:
        return OnDisk(run.steps, self.directory)

    def states_held(self, run: Run) -> int:
        need_space(run.steps * run.state_bytes, self.directory or tempfile.gettempdir())
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

    def trajectory(self, run: Run) -> Trajectory:
        return Checkpointed(run.steps, self.interval)

    def states_held(self, run: Run) -> int:
        return Checkpointed(run.steps, self.interval).most


@final
@dataclass(frozen=True)
class Auto(Store):
    """The first of device, host and checkpoints that takes at most half of what is free there; else
    the disk."""

    def settled(self, run: Run) -> Store:
        total, device = run.state_bytes * run.steps, run.task.device
        free = free_bytes(device)
        if total <= free / 2:
            return Device()
        if device.type != "cpu" and total <= free_bytes(torch.device("cpu")) / 2:
            return Host()
        fits = 2 * run.state_bytes * math.isqrt(run.steps) <= free / 2
        return Checkpoints() if fits else Disk()

    def trajectory(self, run: Run) -> Trajectory:
        return self.settled(run).trajectory(run)

    def states_held(self, run: Run) -> int:
        return self.settled(run).states_held(run)


STORES: dict[str, type[Store]] = {
    "auto": Auto,
    "device": Device,
    "host": Host,
    "disk": Disk,
    "checkpoint": Checkpoints,
}


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be allocated on a device (on a CPU: available, within the cgroup)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    meminfo, group = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
    if meminfo.exists():
        rows = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        limits.append(int(rows["MemAvailable"].split()[0]) * 1024)
    try:
        limit, used = ((group / f"memory.{name}").read_text() for name in ("max", "current"))
        limits.append(int(limit) - int(used))
    except (OSError, ValueError):
        pass  # no memory cgroup, or no limit in it
    return max(min(limits), 0)
