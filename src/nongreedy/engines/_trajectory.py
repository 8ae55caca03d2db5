"""Where the visited states of a run are kept until the reverse sweep asks for them, last first."""

from __future__ import annotations

import abc
import math
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ReplayError, nearest_name

Replay = Callable[[Tensor, int], Tensor]  # (s_t, t) -> s_{t+1}, bit for bit
CAUSES = (
    "Likely causes: data or a model that return something else on a second pass, a "
    "non-deterministic kernel (torch.use_deterministic_algorithms), or another number of threads."
)


class Trajectory(abc.ABC):
    """States s_0 .. s_{T-1}: appended in order, then read once backwards."""

    @abc.abstractmethod
    def append(self, state: Tensor) -> None:
        """Keep the next state, shape (slots, P)."""

    @abc.abstractmethod
    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        """Yield (t, s_t) for t = T-1 .. 0."""


class OnDevice(Trajectory):
    """Every state, where it was made."""

    def __init__(self, steps: int):
        self.states: list[Tensor] = []

    def append(self, state: Tensor) -> None:
        self.states.append(state)

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        for t in reversed(range(len(self.states))):
            yield t, self.states[t]


class OnHost(Trajectory):
    """Every state, in host memory."""

    def __init__(self, steps: int):
        self.states: list[Tensor] = []

    def append(self, state: Tensor) -> None:
        self.states.append(state.to("cpu", copy=True))

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        for t in reversed(range(len(self.states))):
            yield t, self.states[t].to(final.device)


class OnDisk(Trajectory):
    """Every state, in a temporary file that vanishes with the trajectory.

    Written and read, not mapped: pages of a mapped file count as this process' memory, which is what
    the disk is to save.
    """

    def __init__(self, steps: int, directory: str | None = None):
        self._folder, self._steps, self._count = directory or tempfile.gettempdir(), steps, 0
        self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        # Open as long as the trajectory; a file that is left to vanish would warn.
        weakref.finalize(self, self._file.close)

    def append(self, state: Tensor) -> None:
        if self._count == 0:
            need_space(self._steps * state.nbytes, self._folder)
        self._file.write(_memory(state.cpu().contiguous()))
        self._count += 1

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        for t in reversed(range(self._count)):
            state = torch.empty(final.shape, dtype=final.dtype)
            self._file.seek(t * state.nbytes)
            if self._file.readinto(_memory(state)) < state.nbytes:
                raise OSError(f"The file of states in {self._folder!r} ends before step {t}.")
            yield t, state.to(final.device)


def _memory(state: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU, of any dtype; shared, not copied."""
    return state.detach().view(-1).view(torch.uint8).numpy().data


class Checkpoints(Trajectory):
    """Every k-th state, k about the square root of T; the others are computed again.

    Peak memory is about ``2 sqrt(T)`` states and the cost one more run. The end of each replayed
    segment must equal the next checkpoint bit for bit.
    """

    def __init__(self, steps: int, interval: int | None = None):
        self.interval = interval or max(1, math.isqrt(max(steps - 1, 1)) + 1)
        self.kept: list[Tensor] = []
        self.count = 0

    def append(self, state: Tensor) -> None:
        if self.count % self.interval == 0:
            self.kept.append(state)
        self.count += 1

    def backwards(self, final: Tensor, replay: Replay) -> Iterator[tuple[int, Tensor]]:
        stop, expected = self.count, final
        while self.kept:
            start = (len(self.kept) - 1) * self.interval
            segment = [self.kept.pop()]
            for t in range(start, stop):
                segment.append(replay(segment[-1], t))
            _check_equal(segment.pop(), expected, start, stop)
            stop, expected = start, segment[0]
            for t in reversed(range(start, start + len(segment))):
                yield t, segment.pop()


def _check_equal(replayed: Tensor, expected: Tensor, start: int, stop: int) -> None:
    if not torch.equal(replayed, expected):
        worst = (replayed - expected).abs().max().item()
        raise ReplayError(
            f"Computing steps {start} to {stop} a second time gave a different state (largest "
            f"difference {worst:.3g}). {CAUSES} Reverse(store='device') does not recompute."
        )


STORES: dict[str, Callable[[int], Trajectory]] = {
    "device": OnDevice,
    "host": OnHost,
    "disk": OnDisk,
    "checkpoint": Checkpoints,
}


def checked_store(store: str) -> str:
    """The name of a store, or an error that gives the nearest one."""
    if store != "auto" and store not in STORES:
        raise ValueError(f"Unknown store {store!r}." + nearest_name(store, [*STORES, "auto"]))
    return store


def choose_store(store: str, state_bytes: int, steps: int, device: torch.device) -> str:
    """Settle ``"auto"``: all states on the device, on the host, checkpoints, else the disk.

    A choice may use half of the bytes that are free where it would live.
    """
    if store != "auto":
        return checked_store(store)
    total = state_bytes * steps
    device_free, host_free = free_bytes(device), free_bytes(torch.device("cpu"))
    if total <= device_free / 2:
        return "device"
    if device.type != "cpu" and total <= host_free / 2:
        return "host"
    return "checkpoint" if 2 * state_bytes * math.isqrt(steps) <= device_free / 2 else "disk"


def states_held(store: str, state_bytes: int, steps: int) -> int:
    """The most states on the device: those on the host or disk pass through.

    Raises:
        OSError: Host or disk have no room for all.
    """
    if store == "host" and steps * state_bytes > free_bytes(torch.device("cpu")) / 2:
        raise OSError("All states would take more than half of the host's free memory.")
    if store == "disk":
        need_space(steps * state_bytes, tempfile.gettempdir())
    interval = Checkpoints(steps).interval
    return {"device": steps, "checkpoint": interval + -(-steps // interval)}.get(store, 2)


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


def need_space(size: int, directory: str) -> None:
    """Raise OSError before a file of `size` bytes fills the disk."""
    free = shutil.disk_usage(directory).free
    if size > free:
        raise OSError(
            f"The states need {size / 2**30:.1f} GiB in {directory!r}, which has "
            f"{free / 2**30:.1f} GiB free. Set TMPDIR to a larger disk, or use "
            "Reverse(store='checkpoint')."
        )
