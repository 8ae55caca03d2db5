"""Ordinary training of a plain network, and its judgement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ..errors import DivergedError, check_whole
from ..schedules import Schedule
from ._data import Data, augmented, seed_step

Loss = Callable[[Tensor, Tensor], Tensor]
_RISE = 0.1  # of the steps, in which the learning rate rises to its peak


def adamw(parameters: Iterable[nn.Parameter]) -> Optimizer:
    """What weights are trained by unless something else is asked."""
    return torch.optim.AdamW(parameters, 4e-3, weight_decay=0.02)


def smoothed(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with label smoothing 0.1, as in the paper."""
    return F.cross_entropy(outputs, targets, label_smoothing=0.1)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Args:
        steps: Gradient steps.
        batch_size: Examples of each.
        optimizer: Makes a torch optimizer of parameters; AdamW by default.
        schedule: What :func:`nongreedy.tune` found; None is a short rise and a cosine.
        augment: An augmentation of :mod:`nongreedy.data`.
        loss: Of outputs and targets; cross-entropy with label smoothing 0.1 by default, as in the paper.

    Example:
        >>> Recipe(steps=100).batch_size
        64
    """

    steps: int = 600
    batch_size: int = 64
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] = adamw
    schedule: Schedule | None = None
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None
    loss: Loss = smoothed

    def __post_init__(self) -> None:
        check_whole("steps", self.steps)
        check_whole("batch_size", self.batch_size, 2, " BatchNorm needs two examples.")

    def begin(
        self, parameters: Iterable[nn.Parameter], steps: int
    ) -> tuple[Optimizer, LRScheduler]:
        """The optimizer, and what sets its learning rate."""
        optimizer = self.optimizer(parameters)
        if self.schedule is not None:
            return optimizer, self.schedule.attach(optimizer, total_steps=steps)
        return optimizer, LambdaLR(optimizer, partial(rise_and_fall, steps=steps))

    def adamw(self, parameters: Iterable[nn.Parameter]) -> dict[str, Any]:
        """The settings of its AdamW.

        Raises:
            ValueError: It is another optimizer, or has a schedule.
        """
        made = self.optimizer(parameters)
        if type(made) is not torch.optim.AdamW or len(made.param_groups) > 1 or self.schedule:
            said = "a schedule of its own" if self.schedule else f"{made!r:.60}"
            raise ValueError(
                f"This takes a recipe of torch.optim.AdamW with one group, whose learning rate it sets, but "
                f"got {said}. Other settings are searched by nas.optuna_objective."
            )
        return made.param_groups[0]

    def to_json(self) -> dict[str, Any]:
        named: dict[str, Any] = {"steps": self.steps, "batch_size": self.batch_size}
        named["schedule"] = self.schedule and self.schedule.to_json()
        return {**named, "augment": repr(self.augment) if self.augment else None}


def rise_and_fall(step: int, steps: int) -> float:
    """The factor on the learning rate: to its peak in a tenth of the steps, then a cosine to nothing."""
    rise = max(1, round(_RISE * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def train(
    network: nn.Module,
    data: Any,
    recipe: Recipe | None = None,
    *,
    seed: int = 0,
    on_step: Callable[[int, Callable[[], dict]], None] | None = None,
    state: dict | None = None,
) -> nn.Module:
    """Train a plain network, in place.

    Args:
        network: Any module.
        data: As in :func:`search`.
        recipe: How.
        seed: Of order, augmentation and dropout.
        on_step: Called after every step with its number and with what gives the state, for those who
            keep it.
        state: Of a training that was stopped, from there on the same bits.

    Raises:
        DivergedError: The loss became non-finite, with its step.

    Example:
        >>> x = torch.randn(32, 4)
        >>> net = train(nn.Linear(4, 2), (x, (x[:, 0] > 0).long()), Recipe(steps=300))
        >>> judge(net, (x, (x[:, 0] > 0).long()))[1] > 0.8
        True
    """
    data, recipe = Data.of(data, "train"), recipe or Recipe()
    optimizer, scheduler = recipe.begin(network.parameters(), recipe.steps)
    begin = 0
    if state is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        begin = state["step"]
    network.train()
    with torch.random.fork_rng(devices=[]):
        for step in range(begin, recipe.steps):
            seed_step(seed, step)
            inputs, targets = data.batch(seed, step, recipe.batch_size)
            loss = recipe.loss(network(augmented(recipe.augment, inputs, seed, step)), targets)
            check_finite("training loss", loss, step, recipe.steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            if on_step is not None:
                on_step(step, lambda step=step: _state(network, optimizer, scheduler, step + 1))
    return network.eval()


def _state(network: nn.Module, optimizer: Optimizer, scheduler: LRScheduler, step: int) -> dict:
    return {
        "network": network.state_dict(), "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(), "step": step,
    }  # fmt: skip


def check_finite(name: str, loss: Tensor, step: int, steps: int) -> None:
    """Raise DivergedError unless it is."""
    if not math.isfinite(loss.item()):
        raise DivergedError(
            name, step, steps,
            "Lower the learning rate of the recipe's optimizer, or look for bad examples.",
        )  # fmt: skip


@torch.no_grad()
def judge(
    network: nn.Module, data: Any, loss: Loss = F.cross_entropy, batch: int = 500
) -> tuple[float, float]:
    """Mean loss and, of whole-number targets, accuracy from 0 to 1; NaN of others. The mode is kept."""
    data = Data.of(data, "data")
    total = correct = 0.0
    counted = not data.targets.is_floating_point()
    for inputs, targets in zip(data.inputs.split(batch), data.targets.split(batch), strict=True):
        outputs = network(inputs)
        total += float(loss(outputs, targets)) * len(inputs)
        if counted:
            correct += float((outputs.argmax(1) == targets).sum())
    return total / len(data), correct / len(data) if counted else math.nan


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Normalise by each batch, and keep what BatchNorm has counted: architectures share one network, whose
    running averages are of none of them. Dropout is off."""
    modes = [(module, module.training) for module in network.modules()]
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    network.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 0.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, momentum, tracked in kept:
            norm.momentum, norm.num_batches_tracked = momentum, tracked
        for module, mode in modes:
            module.training = mode


def recalibrated(network: nn.Module, data: Data, batch: int, count: int, seed: int) -> nn.Module:
    """With BatchNorm's running statistics counted anew on training batches; in evaluation mode."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean of what comes
        norm.train()
    with torch.no_grad():
        for step in range(count):
            network(data.batch(seed, step, batch)[0])
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    return network.eval()


def redraw(network: nn.Module, seed: int) -> None:
    """Fresh weights for every layer that can draw them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in network.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
