"""Optimizers that average by themselves: schedule-free ones, of this library or of their authors."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch.optim import Optimizer

from ._average import is_average
from ._settings import base

RATE_NAME = "learning_rate"
_INSTEAD = "nongreedy.ScheduleFreeSGD().torch_optimizer(...), or to that of ScheduleFreeAdamW"
_MIXING = ("momentum", "beta1")  # how much of the mean is in the parameters


def is_free(optimizer: Optimizer) -> bool:
    """Whether its parameters are others in training than in evaluation."""
    switches = all(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))
    return switches and any("train_mode" in group for group in optimizer.param_groups)


def fall_unlike(curves: Mapping[str, Any], optimizer: Optimizer) -> str | None:
    """What to say where rates fall that the package weighs by the largest before them."""
    if not _theirs(optimizer) or RATE_NAME not in curves:
        return None
    if not bool((curves[RATE_NAME].coefficients.diff() < 0).any()):
        return None
    kind = type(optimizer).__name__
    return (
        f"The schedule's learning rate falls, and {kind} weighs its average by the largest rate so far, "
        "not by the present one as in the run that it was learned on. Attach it to "
        f"{_INSTEAD}."
    )


def _theirs(optimizer: Optimizer) -> bool:
    return any("weight_lr_power" in group for group in optimizer.param_groups)


def refuse_settings(curves: Mapping[str, Any], names: Iterable[str], optimizer: Optimizer) -> None:
    """Raise ValueError for what a schedule cannot do to a schedule-free optimizer."""
    if not is_free(optimizer):
        return
    kind = type(optimizer).__name__
    for name in names:
        if is_average(name):
            raise ValueError(
                f"The schedule sets {name!r}, but {kind} averages by itself. Learn a schedule of "
                "nongreedy.ScheduleFreeSGD or ScheduleFreeAdamW, or attach this one to another optimizer."
            )
        row = curves[name].coefficients
        if _theirs(optimizer) and base(name)[0] in _MIXING and bool((row != row[0]).any()):
            raise ValueError(
                f"The schedule changes {name!r} from {row[0].item():g} on, but {kind} computes its "
                "averages from the present one and would lose them. Attach it to "
                f"{_INSTEAD}, which keep them."
            )
