"""The tasks of the suite by name. Joining means adding a row to one of the families."""

from __future__ import annotations

import statistics
import time

import torch

import nongreedy as ng
from nongreedy.engines import Runner

from . import _images, _tabular, _text
from ._data import Data
from ._entry import Entry

TASKS: dict[str, Entry] = {**_images.ENTRIES, **_text.ENTRIES, **_tabular.ENTRIES}
RATES = {"SGD": 0.05, "AdamW": 2e-3}  # of the runs that are timed


def seconds(entry: Entry, data: Data, repetitions: int = 5) -> float:
    """Median time of a plain run with its validation loss: of the processor, other work not counted."""
    problem = ng.Problem.of(entry.make(data), entry.optimizer, steps=entry.steps)
    rate = torch.full((5,), RATES[type(entry.optimizer).__name__], dtype=torch.float64)
    schedule = problem.initial.with_coefficients({"learning_rate": rate})
    taken = []
    for seed in range(repetitions):
        begin = time.process_time()
        Runner().rollout(problem.run(seed), schedule)
        taken.append(time.process_time() - begin)
    return statistics.median(taken)
