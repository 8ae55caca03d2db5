"""Slow data sets: read ahead by other processes."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ._default_generator import seed_everything
from ._examples import Examples
from ._kept import Kept
from ._streams import READ, mix

Request = tuple[int, int, list[int]]  # seed, step, numbers of examples
Indices = Callable[[int, int], list[int]]


def read_at(examples: Examples, seed: int, step: int, indices: Any, device: torch.device) -> Any:
    """The batch of a step, under default generators that are seeded for it."""
    seed_everything(mix(seed, READ, step), device)
    return examples.read(indices)


class Reader:
    """Batches of a plan, each read by one of some processes, ahead of being asked for.

    It goes on in the direction in which it was asked: forwards in a run, backwards in a sweep. In
    whichever process a batch is read, the default generators are seeded for its step.

    Args:
        examples: What to read.
        indices: (seed, step) -> numbers of the examples.
        workers: Processes.
    """

    def __init__(self, examples: Examples, indices: Indices, workers: int):
        self._ahead, self._kept = _Ahead(indices), Kept()
        self._make = lambda: DataLoader(
            _Reading(examples),
            batch_size=None,
            sampler=self._ahead,
            num_workers=workers,
            persistent_workers=True,
            generator=torch.Generator(),  # else it would draw from the default one
        )
        self._loader: DataLoader[Any] | None = None
        self._process, self._last, self._next = 0, (0, -1), (0, -1)
        self._batches: Iterator[Any] = iter(())

    def __getstate__(self) -> None:
        raise TypeError(
            "Processes that read data cannot be sent to another process: num_workers=0."
        )

    def read(self, seed: int, step: int) -> tuple[Any, Any]:
        """(inputs, targets) at this step."""
        batch = self._kept.get((seed, step), lambda: self._from_workers(seed, step))
        self._last = seed, step
        return batch

    def _from_workers(self, seed: int, step: int) -> tuple[Any, Any]:
        if self._process != os.getpid():  # also where this process was forked from another
            self._loader, self._process, self._next = self._make(), os.getpid(), (seed, -1)
        assert self._loader is not None
        if self._next != (seed, step):
            self._ahead.aim(seed, step, -1 if self._last == (seed, step + 1) else 1)
            self._batches = iter(self._loader)
        self._next = seed, step + self._ahead.direction
        return next(self._batches)


class _Ahead:
    """Requests from some step on, in some direction: a sampler of steps."""

    def __init__(self, indices: Indices):
        self._indices, self._seed, self._step, self.direction = indices, 0, 0, 1

    def aim(self, seed: int, step: int, direction: int) -> None:
        self._seed, self._step, self.direction = seed, step, direction

    def __iter__(self) -> Iterator[Request]:
        seed, step, direction = self._seed, self._step, self.direction
        while step >= 0:
            yield seed, step, self._indices(seed, step)
            step += direction


class _Reading(Dataset[Any]):
    """Batches by request, in the process that reads them."""

    def __init__(self, examples: Examples):
        self._examples = examples

    def __getitem__(self, index: Request) -> tuple[Any, Any]:
        seed, step, numbers = index
        return read_at(self._examples, seed, step, numbers, torch.device("cpu"))
