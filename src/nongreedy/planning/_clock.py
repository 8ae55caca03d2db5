"""Seconds of the pieces that a step is made of."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator

import torch

_WARM_UP = 2  # first calls compile, allocate and read


class Clock:
    """Times pieces of work by name; one that runs inside another is taken out of it."""

    def __init__(self, device: torch.device):
        self._device, self._counted = device, 0.0
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    @contextlib.contextmanager
    def piece(self, name: str) -> Iterator[None]:
        """Time a block."""
        before, begin = self._counted, time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        spent = time.perf_counter() - begin
        self._seconds[name].append(spent - (self._counted - before))
        self._counted = before + spent

    def median(self, name: str) -> float:
        """Of a piece's calls, without the first two where there are more; 0 if there were none."""
        taken = self._seconds[name]
        kept = taken[min(_WARM_UP, len(taken) // 2) :]
        return statistics.median(kept) if kept else 0.0
