"""What a repetition of a search needs, as plain JSON values: part of every schedule file and study."""

from __future__ import annotations

from typing import Any

import torch

from ..engines import Engine
from ..optimizers import Optimizer
from ..schedules._version import __version__
from ..task import Task
from ..task._data_plan import checksum
from ..task._task import outer_slices
from .rules import OuterRule


def settings_of(
    task: Task,
    optimizer: Optimizer,
    steps: int,
    engine: str | Engine,
    rule: OuterRule,
    outer_steps: int,
    seed: int,
    budget: float | None,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """What was asked for, in names and numbers, and by its checksum the data."""

    return {
        "nongreedy": __version__,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "optimizer": repr(optimizer),
        "engine": engine if isinstance(engine, str) else repr(engine),
        "outer": repr(rule),
        "outer_steps": outer_steps,
        "steps": steps,
        "batch_size": task.batch_size,
        "training_examples": task.train.count,
        "validation_examples": task.validation.count,
        "data": _fingerprint(task, seed),
        "seed": seed,
        "dtype": str(dtype),
        "device": str(task.device),
        "budget": budget,
    }


def _fingerprint(task: Task, seed: int) -> str:
    """Of the first batch and the first validation examples: other data, other augmentation."""
    batch = task.plan.batch(seed, 0, torch.device("cpu"), torch.float32)
    judged = task.validation.fetch(outer_slices(task.validation.count)[0])
    return f"{checksum(batch):x} {checksum(judged):x}"
