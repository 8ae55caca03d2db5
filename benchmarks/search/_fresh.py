"""Fresh trainings of what a search found."""

import nongreedy as ng
from nongreedy.training import Retrained

FRESH = 3  # trainings of each search's choice


def fresh_seeds(seed: int, count: int) -> list[int]:
    """Common to all methods; up to ten for each outer seed."""
    return [10**6 + 10 * seed + k for k in range(count)]


def fresh(result: ng.Result, steps: int, seed: int) -> list[Retrained]:
    """By plain ``torch.optim``, on seeds that no search uses."""
    assert result.task is not None and result.optimizer is not None
    return [
        ng.retrain(result.task, result.schedule, steps=steps, seed=s, optimizer=result.optimizer)
        for s in fresh_seeds(seed, FRESH)
    ]
