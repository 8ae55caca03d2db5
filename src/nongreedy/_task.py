"""A task: what is trained, on what, and what it is judged by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ._errors import DataError, nearest_name
from ._plan import DataPlan, Examples, generator

OUTER_BATCH = 500  # validation examples per forward pass, as in the paper (BatchNorm sees these)


class Task:
    r"""A model, a loss, training and validation data: everything but the optimizer.

    .. math:: L_\mathrm{train}(\theta; \text{batch}_t), \qquad
              J(\theta) = \text{mean of the loss over the validation data}

    Args:
        model: A zero-argument callable returning a fresh ``nn.Module`` (called under each run's
            seed), or an ``nn.Module`` (every run starts from its weights).
        loss: ``(output, target) -> scalar``.
        train: ``(inputs, targets)`` tensors, or a map-style ``Dataset`` of such pairs.
        validation: The same; or a fraction of `train` to hold out, fixed by `split_seed`.
        test: The same, or None. Never used while tuning.
        batch_size: Training examples per step. Equal to the data: one full batch per step.
        augment: ``(inputs, generator) -> inputs`` on training batches, such as
            ``nongreedy.data.RandomCrop()``; a function of its arguments only.
        device: Where to train, for example ``"cuda"``.
        constant_buffers: Buffers that the model's forward pass changes and that shall be restored.
        split_seed: Seed of the held-out fraction.

    Raises:
        DataError: Empty or mismatched data, or a batch larger than the data.
        ReplayError: A data set that returns different items on a second read.

    Cannot: differentiate what depends on anything but parameters, batch and seed. BatchNorm uses
    batch statistics in training and in the outer loss.

    Source: arXiv:2007.07869, section 3.

    Example:
        >>> x = torch.randn(64, 4)
        >>> task = Task(lambda: nn.Linear(4, 1), nn.functional.mse_loss, (x, x[:, :1]), 0.25,
        ...             batch_size=16)
        >>> task.steps_per_epoch
        3
    """

    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        loss: Callable[..., Tensor],
        train: Any,
        validation: Any,
        test: Any = None,
        *,
        batch_size: int = 128,
        augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        device: str | torch.device = "cpu",
        constant_buffers: Iterable[str] = (),
        split_seed: int = 0,
    ):
        if not callable(model) or not callable(loss):
            raise TypeError("`model` and `loss` must be callable (an nn.Module is).")
        self.model, self.loss, self.augment = model, loss, augment
        self.device, self.constant_buffers = checked_device(device), tuple(constant_buffers)
        training = Examples(train, "train")
        if isinstance(validation, float):
            training, held_out = _split(training, validation, split_seed)
        else:
            held_out = Examples(validation, "validation")
        self.train, self.validation = training, held_out
        self.test = None if test is None else Examples(test, "test")
        self.plan = DataPlan(self.train, batch_size, augment)
        self.batch_size = batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Full batches per pass over the training data."""
        return self.plan.steps_per_epoch

    def steps_for(self, epochs: float | None, steps: int | None) -> int:
        """Settle the length of a run from either `epochs` or `steps`."""
        if (epochs is None) == (steps is None):
            raise ValueError(f"Give either `epochs` or `steps`, but got {epochs=}, {steps=}.")
        total = steps if steps is not None else round(float(epochs or 0) * self.steps_per_epoch)
        if isinstance(total, bool) or not isinstance(total, int) or total < 1:
            raise ValueError(f"A run needs at least one whole step, but got {epochs=}, {steps=}.")
        return total


def outer_slices(count: int) -> list[slice]:
    """Nearly equal batches of at most OUTER_BATCH examples, so that none is tiny (BatchNorm)."""
    parts = math.ceil(count / OUTER_BATCH)
    edges = [count * part // parts for part in range(parts + 1)]
    return [slice(low, high) for low, high in itertools.pairwise(edges)]


def checked_loss(value: Any) -> Tensor:
    """The loss, if it is a scalar tensor; otherwise an error that says what it is."""
    if not isinstance(value, Tensor) or value.numel() != 1 or value.dim() > 0:
        what = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"The loss must be a scalar tensor, but the loss function returned {what}. "
            "Reduce it, for example with .mean()."
        )
    return value


def accuracy_count(output: Any, targets: Any) -> int | None:
    """Number of right answers where the task is a classification, else None."""
    if not isinstance(output, Tensor) or not isinstance(targets, Tensor) or output.dim() < 2:
        return None
    if targets.is_floating_point() or targets.shape != output.shape[:1] + output.shape[2:]:
        return None
    return int((output.argmax(1) == targets).sum())


def checked_device(device: str | torch.device) -> torch.device:
    """A device that exists here, or an error that names those that do."""
    found = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    found += ["mps"] if torch.backends.mps.is_available() else []
    kind = str(device).split(":")[0]
    if kind not in found:
        raise ValueError(f"Device {str(device)!r} is not available." + nearest_name(kind, found))
    return torch.device(device)


def _split(examples: Examples, fraction: float, seed: int) -> tuple[Examples, Examples]:
    held = round(examples.count * fraction)
    if not 0 < held < examples.count:
        raise DataError(
            f"validation={fraction} of {examples.count} examples leaves {held} for validation and "
            f"{examples.count - held} for training. Choose a fraction strictly between 0 and 1."
        )
    order = torch.randperm(examples.count, generator=generator(seed))
    parts = []
    for name, index in (("train", order[held:]), ("validation", order[:held])):
        if examples.is_tensors:
            source: Any = examples.fetch(index)
        else:
            source = torch.utils.data.Subset(examples.source, index.tolist())
        parts.append(Examples(source, name))
    return parts[0], parts[1]
