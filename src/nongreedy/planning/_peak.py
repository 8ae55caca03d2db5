"""The most memory that a piece of work holds."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import torch

from ..engines._slack import give_back

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Bytes that the process, or the accelerator, held at most."""

    bytes: int = 0


@contextlib.contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Watch the memory of a block: allocated bytes on an accelerator, resident ones on a CPU.

    Of an accelerator neither its context (about 0.5 GB) nor what is lost between allocations is counted,
    which is why nothing may take more than half of what is free; PyTorch's own peak is set back.

    Where the system cannot forget an earlier peak (not Linux), that of the whole process so far.
    """
    peak, accelerated = Peak(), device.type == "cuda"
    if accelerated:
        torch.cuda.reset_peak_memory_stats(device)
    else:
        give_back()
        with contextlib.suppress(OSError):
            _RESET.write_text("5")  # see proc(5): the peak becomes what is resident now
    try:
        yield peak
    finally:
        peak.bytes = torch.cuda.max_memory_allocated(device) if accelerated else _resident()


def _resident() -> int:
    try:
        rows = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(rows["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
