"""The search as one differentiable run: gates that open by degrees, in a task of the core."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..optimizers import AdamW, Grouped, Optimizer
from ..schedules import Constant, TimeBasis
from ..task import Hypers, Task
from ._architecture import Architecture
from ._data import Data
from ._levels import Validated
from ._supernet import SuperNet
from ._table import CostTable
from ._training import Recipe, rise_and_fall

RATE, STRIDE = "learning_rate", "learning_rate[*thresholds]"  # of weights, of thresholds
PRICE, TEMPERATURE = "price", "temperature"


@dataclass(frozen=True)
class RiseAndFall(TimeBasis):
    """The shape that a search gives its learning rate; the coefficient is the peak.

    Example:
        >>> RiseAndFall().expand(torch.tensor([2.0]), steps=20).max().item()
        2.0
    """

    kind = "rise_and_fall"

    def size(self, steps: int) -> int:
        return 1

    def taps(self, steps: int) -> tuple[Tensor, Tensor]:
        factors = [[rise_and_fall(step, steps)] for step in range(steps)]
        return torch.zeros(steps, 1, dtype=torch.int64), torch.tensor(factors, dtype=torch.float64)

    def positions(self, steps: int) -> Tensor:
        return self.taps(steps)[1].argmax(0)


@dataclass(frozen=True)
class Moment:
    """A step of the search.

    Attributes:
        chosen: The architecture whose weights it trains; None: what the gates say, by degrees.
        held: Validation examples, by which thresholds move; None in the warm-up.
    """

    chosen: Architecture | None
    held: tuple[Tensor, Tensor] | None
    price: Tensor


class Relaxed(nn.Module):
    r"""A super-network whose bits are sigmoids, not steps: smooth in weights and thresholds.

    .. math:: s = \sigma(x / \tau)

    with x what the gate says at some progress of the search, and tau a factor on its temperature.
    """

    def __init__(self, network: SuperNet, table: CostTable, target: float, recipe: Recipe):
        super().__init__()
        self.network, self.table, self.target, self.loss = network, table, target, recipe.loss
        for block in network.blocks:
            block.thresholds.requires_grad_(block.thresholds.numel() > 0)

    def forward(
        self,
        x: Tensor,
        progress: float = 1.0,
        temperature: Tensor | float = 1.0,
        moment: Moment | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Outputs, and the logarithm of cost over target, for each example; in a step of the search
        outputs for its weights, and what its thresholds are to lower."""
        gating = self.network.gating
        gating.progress, gating.step = progress, lambda row: torch.sigmoid(row / temperature)
        bits = gating.refresh(self.network.blocks)
        if moment is None:
            cost = (self.table.expected(bits) / self.target).log()
            return self.network.network(x), cost.expand(len(x))
        if moment.chosen is None:
            gating.bits = [row.detach() for row in bits]
        else:
            encoded = self.network.space.encode(moment.chosen)
            gating.bits = [row.new_tensor(own) for row, own in zip(bits, encoded, strict=True)]
        outputs = self.network.network(x)
        return outputs, self._aim(progress, temperature, moment)

    def _aim(self, progress: float, temperature: Tensor | float, moment: Moment) -> Tensor:
        own = dict(self.named_parameters())
        moving = {name: each for name, each in own.items() if name.endswith("thresholds")}
        if moment.held is None:  # zero, not nothing: what no loss reaches would count as frozen
            return torch.cat(list(moving.values())).sum() * 0.0
        stopped: dict[str, Any] = {name: each.detach() for name, each in own.items()}
        inputs, targets = moment.held
        with _without_dropout(self):
            arguments = (inputs, progress, temperature)
            outputs, cost = functional_call(self, {**stopped, **moving}, arguments)
        return self.loss(outputs, targets) + moment.price * cost.mean()


@contextmanager
def _without_dropout(network: nn.Module) -> Iterator[None]:
    drawn = [m for m in network.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    modes = [module.training for module in drawn]
    for module in drawn:
        module.training = False
    try:
        yield
    finally:
        for module, mode in zip(drawn, modes, strict=True):
            module.training = mode


@dataclass(frozen=True)
class Excess:
    r"""What a relaxed search is judged by.

    .. math:: J = L_\mathrm{val} + \kappa \max(0, \ln R / R_\mathrm{target})^2
    """

    recipe: Recipe
    penalty: float

    def __call__(self, output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        outputs, cost = output
        return self.recipe.loss(outputs, target) + self.penalty * cost.relu().square().mean()


@dataclass(frozen=True)
class Search:
    """The inner loop: which examples and which architecture each step takes.

    Attributes:
        steps: Of the run.
    """

    space: Any
    held: Data
    recipe: Recipe
    level: Validated
    steps: int

    def forward(self, network: Any, inputs: Tensor, hypers: Hypers) -> tuple[Tensor, Tensor]:
        """As a step of :class:`Validated`; draws from the default generator, seeded at each step."""
        draw = torch.Generator().manual_seed(int(torch.randint(2**31, ())))
        begin, warm = self.level.warm_up * self.steps, self.level.warm(hypers.step, self.steps)
        random = warm or float(torch.rand((), generator=draw)) < self.level.explore
        chosen = self.space.random(draw) if random else None
        index = torch.randperm(len(self.held), generator=draw)[: self.recipe.batch_size]
        held = self.held.inputs[index].to(inputs), self.held.targets[index]
        progress = min(1.0, max(0.0, (hypers.step - begin) / max(1.0, self.steps - begin)))
        moment = Moment(chosen, None if warm else held, hypers[PRICE])
        return network((inputs, progress, hypers[TEMPERATURE], moment))

    def loss(self, output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        """Of weights and of thresholds, each in its own."""
        return self.recipe.loss(output[0], target) + output[1]


def search_task(
    network: SuperNet,
    learn: Data,
    held: Data,
    table: CostTable,
    target: float,
    recipe: Recipe,
    level: Validated,
    steps: int,
    price: float,
    penalty: float,
) -> tuple[Task, Optimizer]:
    """The inner loop of a search as a task and its optimizer, with everything learnable learned."""
    inner = Search(network.space, held, recipe, level, steps)
    settings = recipe.adamw(network.weights())
    task = Task(
        Relaxed(network, table, target, recipe), inner.loss, (learn.inputs, learn.targets),
        (held.inputs, held.targets), batch_size=min(recipe.batch_size, len(learn)),
        augment=recipe.augment, forward=inner.forward, validation_loss=Excess(recipe, penalty),
        hyperparameters={
            PRICE: Constant(initial=price, bounds=(1e-4, 1e3), transform="log", outer_step=0.3),
            TEMPERATURE: Constant(initial=1.0, bounds=(0.03, 30.0), transform="log", outer_step=0.2),
        },
    )  # fmt: skip
    rate = RiseAndFall(initial=settings["lr"])
    first, second = settings["betas"]
    weights = AdamW(rate, first, second, settings["eps"], settings["weight_decay"])
    stride = Constant(initial=level.stride(steps))
    own = {"learning_rate": stride, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    return task, Grouped(weights, {"*thresholds": {**own, "weight_decay": 0.0}})
