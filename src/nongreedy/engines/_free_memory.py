"""Memory that is free now."""

import os
from pathlib import Path

import torch

from ..task import Task

# Of what is free, the share that graphs may take, unless they are given a limit: two or three runs are often
# kept at once.
EASY = 1 / 8


def free_for(task: Task, device: torch.device) -> int:
    """:func:`free_bytes`; of runs that several ranks make, on the one that has least."""
    return task.shards.least(free_bytes(device))


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be allocated on a device (on a CPU: available, within the cgroup, and shared
    with the other ranks of this machine)."""
    if device.type == "cuda":
        # What PyTorch keeps for later is free to it, too.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
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
    return max(min(limits), 0) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
