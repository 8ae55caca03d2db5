"""The default generators, of which there is one each for all threads of a process: PyTorch's, which
dropout draws from, and Python's and NumPy's, which transforms of data and some models draw from."""

import contextlib
import random
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import numpy
import torch

_TURN = threading.RLock()
_HELD = threading.local()  # how many times this thread has asked


@contextlib.contextmanager
def default_generator(device: torch.device | None = None) -> Iterator[None]:
    """Have the default generators to oneself, and hand them back as they were.

    Other threads that ask for them wait; this thread may ask again, from a callback that trains.

    Args:
        device: Whose generator is used beside the CPU's; None is all devices.

    Cannot: hold back threads that draw without asking; wait for a thread that waits here.
    """
    devices = None if device is None else [device] if device.type == "cuda" else []
    with _TURN, torch.random.fork_rng(devices=devices):
        python, arrays = random.getstate(), numpy.random.get_state()
        _HELD.count = getattr(_HELD, "count", 0) + 1
        try:
            yield
        finally:
            _HELD.count -= 1
            random.setstate(python)
            numpy.random.set_state(arrays)


def at_hand(device: torch.device) -> AbstractContextManager[None]:
    """The same where this thread does not have them already: a fifth of a millisecond less, for what
    is read at every step of a run, which seeds them again and hands them back at its end."""
    return nullcontext() if getattr(_HELD, "count", 0) else default_generator(device)


def seed_default(seed: int, device: torch.device) -> None:
    """Seed the default generators that a step on this device may draw from: its own and the CPU's.

    Of this device alone: those of others are not handed back. And not by ``torch.manual_seed``, which formats
    the whole call stack, for accelerators that are not in use yet: 0.6 ms, as long as the step of a small
    network.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.init()
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def seed_everything(seed: int, device: torch.device) -> None:
    """Seed PyTorch's, Python's and NumPy's: what reads data or augments them may draw from any.

    Call it within :func:`default_generator`, which hands them back.
    """
    seed_default(seed, device)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
