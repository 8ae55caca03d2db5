"""`nas.optuna_objective` on the space of ``nongreedy nas``, beside default settings at equal gradients.

A sampler's trials at one seed; as many searches by default settings at as many seeds; and one of as many
steps as all trials together. Whoever was best on validation examples counts, and is judged on test examples.
The target is half way in floating-point operations, so that no stopwatch is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

import nongreedy as ng
from nongreedy import nas

TRIALS, STEPS, BATCH = 10, 100, 64


def made(seed: int = 0) -> nas.SuperNet:
    """That of the command on digits."""
    return nas.search_space(
        classes=10,
        in_channels=1,
        resolution=8,
        width=0.25,
        depth=(2, 2, 0, 0, 0),
        head=64,
        seed=seed,
    )


@cache
def goal() -> tuple[Any, nas.CostTable, float]:
    table = nas.flops(made())
    return ng.data.load("digits"), table, sum(map(table.total, table.extremes())) / 2


def searched(
    steps: int, seed: int, level: nas.Level | None = None, rate: float | None = None
) -> dict[str, Any]:
    """A search, and the test accuracy of what it found."""
    splits, table, target = goal()
    recipe, weights = nas.Recipe(steps, BATCH), {}
    if rate is not None:
        weights["optimizer"] = partial(torch.optim.AdamW, lr=rate, weight_decay=0.02)
    found = nas.search(
        made(seed), splits.train, splits.validation, target=target, table=table, level=level,
        recipe=nas.Recipe(steps, BATCH, **weights), final=recipe, seed=seed,
    )  # fmt: skip
    return {
        "validation_loss": found.validation_loss, "validation": found.validation_accuracy,
        "test": nas.judge(found.network, splits.test)[1], "architecture": str(found.architecture),
        "gradients": found.search_cost + found.final_cost,
    }  # fmt: skip


def sampled(trials: int, steps: int, out: Path) -> dict[str, Any]:
    """The sampler's trials, kept in a study, and the winner once more for its test accuracy."""
    import optuna

    splits, table, target = goal()
    objective = nas.optuna_objective(
        made, splits.train, splits.validation, target=target, table=table,
        recipe=nas.Recipe(steps, BATCH),
    )  # fmt: skip
    study = optuna.create_study(
        storage=f"sqlite:///{out / 'sampler.db'}", study_name=f"steps {steps}", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=0, n_startup_trials=trials // 2),
    )  # fmt: skip
    study.optimize(objective, n_trials=trials - len(study.trials))
    settings = dict(study.best_params)
    rate = settings.pop("learning_rate")
    rows = [trial.value for trial in study.trials]
    spent = sum(trial.user_attrs.get("cost", 0.0) for trial in study.trials)
    best = searched(steps, 0, nas.Validated(**settings), rate)
    return {**best, "gradients": spent, "settings": study.best_params, "losses": rows}


def sampler(small: bool, out: Path) -> dict[str, Callable[[], dict[str, Any]]]:
    """The pieces."""
    trials, steps = (2, 6) if small else (TRIALS, STEPS)
    pieces = {f"default-{k}": partial(searched, steps, k) for k in range(trials)}
    return {
        "optuna": partial(sampled, trials, steps, out), **pieces,
        "longer": partial(searched, trials * steps, 0),
    }  # fmt: skip
