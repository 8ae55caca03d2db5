"""On which level thresholds are learned: with the weights, as published, or on validation batches."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..protocols import generator
from ..task._streams import DROPPED, EXPLORED, JUDGE
from ._control import DualPrice, FixedPrice
from ._data import augmented
from ._state import State
from ._training import batch_statistics, check_finite


class Level(abc.ABC):
    """One step of a search: whose gradients move weights and thresholds.

    Attributes:
        warm_up: Share of the steps before thresholds move and latency has a price.
    """

    warm_up: float

    @abc.abstractmethod
    def optimizers(self, state: State) -> dict[str, Any]:
        """Optimizers and schedulers by name; everything with a state that a checkpoint has to keep."""

    @abc.abstractmethod
    def step(self, state: State, step: int) -> float:
        """Do it; the training loss."""

    @abc.abstractmethod
    def price(self, target: float, steps: int) -> DualPrice | FixedPrice:
        """Of latency, at the beginning of a search of so many steps after the warm-up."""

    def warm(self, step: int, steps: int) -> bool:
        return step < self.warm_up * steps

    def to_json(self) -> dict[str, Any]:
        return {"class": type(self).__name__, **vars(self)}


@final
@dataclass(frozen=True)
class Joint(Level):
    r"""As published: one optimizer, one batch, one loss for weights and thresholds.

    .. math:: L = \mathrm{CE} + \tfrac{\delta}{2}\|v\|^2 + \Lambda \ln R

    In the warm-up Lambda is zero, and each bit is dropped with probability `drop`, the others scaled.

    Args:
        latency_weight: Lambda, 1000 times the paper's lambda; None: a dual variable meets the target.
        learning_rate: Of RMSProp, at batches of 1024 0.064; times 0.97 in `decays` equal parts of the search.
        decays: 8 epochs in steps of 2.4.
        weight_decay: delta, on thresholds too, but not on BatchNorm.
        drop: Of bits in the warm-up.
        warm_up: Share of the steps.

    Source: arXiv:1904.02877 and its released code.

    Cannot: be TensorFlow's RMSProp to the bit: PyTorch adds eps outside the root.
    """

    latency_weight: float | None = None
    learning_rate: float = 0.064
    decays: int = 3
    weight_decay: float = 1e-5
    drop: float = 0.4
    warm_up: float = 0.625

    def price(self, target: float, steps: int) -> DualPrice | FixedPrice:
        if self.latency_weight is None:
            return DualPrice(target, 10 / max(1, steps))
        return FixedPrice(self.latency_weight)

    def optimizers(self, state: State) -> dict[str, Any]:
        plain, normed = [], []
        for module in state.network.modules():
            row = normed if isinstance(module, torch.nn.BatchNorm2d) else plain
            row += list(module.parameters(recurse=False))
        groups = [
            {"params": plain, "weight_decay": self.weight_decay},
            {"params": normed, "weight_decay": 0.0},
        ]
        optimizer: Optimizer = torch.optim.RMSprop(
            groups, self.learning_rate, alpha=0.9, eps=1e-3, momentum=0.9
        )
        length = max(1, state.steps // (self.decays + 1))
        return {"both": optimizer, "rate": torch.optim.lr_scheduler.StepLR(optimizer, length, 0.97)}

    def step(self, state: State, step: int) -> float:
        network, recipe = state.network, state.recipe
        warm = self.warm(step, state.steps)
        network.gating.drop = self._drop(state, step) if warm else None
        network.gating.progress = state.progress(step)
        inputs, targets = state.train.batch(state.seed, step, recipe.batch_size)
        loss = recipe.loss(network(augmented(recipe.augment, inputs, state.seed, step)), targets)
        bits = network.gating.bits
        cost = state.cost_of(bits)
        total = loss if warm else loss + state.price.value * cost.log()
        check_finite("training loss", total, step, state.steps)
        optimizers = state.optimizers
        optimizers["both"].zero_grad()
        total.backward()
        optimizers["both"].step()
        optimizers["rate"].step()
        network.gating.drop = None
        state.spend(1.0)
        if not warm:
            state.watch(bits, cost.item())
        return loss.item()

    def _drop(self, state: State, step: int) -> list[Tensor]:
        keep, draw = 1 - self.drop, generator(state.seed, DROPPED, step)
        rows = [block.thresholds for block in state.network.blocks]
        drawn = [(torch.rand(row.shape, generator=draw) < keep) / keep for row in rows]
        return [d.to(row) for d, row in zip(drawn, rows, strict=True)]


@final
@dataclass(frozen=True)
class Validated(Level):
    """Weights by training batches, thresholds by validation batches and the price of latency.

    Weights see bits as constants, of random architectures in the warm-up and in a share of the later
    steps, so that every architecture's loss means something. The price is a dual variable.

    Args:
        threshold_rate: Of Adam for thresholds; None: so that 10 units can be travelled in the search.
        price_rate: Of the dual variable; None: 10 per search.
        explore: Share of the steps after the warm-up whose weights train a random architecture.
        warm_up: Share of the steps.
        first_price: Of latency, where the dual variable begins.
    """

    threshold_rate: float | None = None
    price_rate: float | None = None
    explore: float = 0.5
    warm_up: float = 0.5
    first_price: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.first_price < math.inf:
            raise ValueError(
                f"`first_price` must be at least 0 and finite, but got {self.first_price!r}."
            )

    def price(self, target: float, steps: int) -> DualPrice | FixedPrice:
        return DualPrice(target, self.price_rate or 10 / max(1, steps), self.first_price)

    def stride(self, steps: int) -> float:
        """The rate of thresholds in a search of so many steps."""
        searching = max(1, round((1 - self.warm_up) * steps))
        return self.threshold_rate or min(0.2, 10 / searching)

    def optimizers(self, state: State) -> dict[str, Any]:
        weights, rate = state.recipe.begin(state.network.weights(), state.steps)
        thresholds = torch.optim.Adam(state.network.thresholds(), self.stride(state.steps))
        return {"weights": weights, "rate": rate, "thresholds": thresholds}

    def step(self, state: State, step: int) -> float:
        network, recipe = state.network, state.recipe
        network.gating.progress = state.progress(step)
        warm = self.warm(step, state.steps)
        draw = generator(state.seed, EXPLORED, step)
        random = warm or float(torch.rand((), generator=draw)) < self.explore
        inputs, targets = state.train.batch(state.seed, step, recipe.batch_size)
        inputs = augmented(recipe.augment, inputs, state.seed, step)
        chosen = network.space.random(draw) if random else network.architecture()
        with network.fixed(chosen):
            loss = recipe.loss(network(inputs), targets)
            check_finite("training loss", loss, step, state.steps)
            state.optimizers["weights"].zero_grad()
            loss.backward()
            state.optimizers["weights"].step()
        state.optimizers["rate"].step()
        state.spend(1.0)
        if not warm:
            self._move_thresholds(state, step)
        return loss.item()

    def _move_thresholds(self, state: State, step: int) -> None:
        network, recipe = state.network, state.recipe
        thresholds = network.thresholds()
        inputs, targets = state.validation.batch(state.seed, step, recipe.batch_size, JUDGE)
        with batch_statistics(network):
            loss = recipe.loss(network(inputs), targets)
        bits = network.gating.bits
        cost = state.cost_of(bits)
        check_finite("validation loss", loss, step, state.steps)
        total = loss + state.price.value * cost.log()
        gradients = torch.autograd.grad(total, thresholds, allow_unused=True)
        for threshold, gradient in zip(thresholds, gradients, strict=True):
            threshold.grad = gradient
        state.optimizers["thresholds"].step()
        state.spend(1.0)
        state.watch(bits, cost.item())
