"""Computing a step of a run once more: what it is, and why it may differ."""

from collections.abc import Callable

import torch
from torch import Tensor

Replay = Callable[[Tensor, int], Tensor]  # (s_t, t) -> s_{t+1}, bit for bit
CAUSES = (
    "Likely causes: a draw from a generator that cannot be seeded (numpy.random.default_rng(), a "
    "torch.Generator of your own), a counter or another attribute that the forward pass changes, a frozen "
    "parameter that it moves, data that change while they are read, a non-deterministic kernel "
    "(torch.use_deterministic_algorithms), or another number of threads. Draw from the default generators, "
    "which are seeded at each step, and make what changes a function of `hypers.step`."
)


def same_outcome(now: float, before: float, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a run that is made again came to the same validation loss: on a CPU to the bit. Other devices
    sum the loss of (examples, classes, positions) in an order that is not repeated; gradients are."""
    slack = 0.0 if device.type == "cpu" else 100 * torch.finfo(dtype).eps
    return abs(now - before) <= slack * (1 + abs(before))
