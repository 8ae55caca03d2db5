"""What hypergradients of the training loss cannot see: the optimizer and the initialization."""

from collections.abc import Iterable

import torch

from ._linearized import leaves_of
from ._run import Run, Values


def refuse_settings(run: Run, learn: Iterable[str], advice: str) -> None:
    """Raise ValueError for those in `learn` that are settings of the optimizer."""
    names = [name for name in learn if name in run.optimizer.learnable]
    if names:
        raise ValueError(
            f"{', '.join(names)}: a setting of {type(run.optimizer).__name__}, which does not enter "
            f"the training loss. {advice}"
        )


def refuse_initialization(run: Run, values: Values, learn: Iterable[str], advice: str) -> None:
    """Raise ValueError for those in `learn` on which theta_0 depends.

    Args:
        values: Of the first step.
    """
    if run.task.initialize is None:
        return
    leaves = leaves_of(values, [name for name in learn if name in run.task.learnable])
    start = run.initial_parameters({**values, **leaves})
    if not leaves or not start.requires_grad:
        return
    slopes = torch.autograd.grad(start.sum(), list(leaves.values()), allow_unused=True)
    names = [name for name, slope in zip(leaves, slopes, strict=True) if slope is not None]
    if names:
        raise ValueError(f"{', '.join(names)}: enters the initialization. {advice}")
