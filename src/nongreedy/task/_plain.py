"""Plain PyTorch training of a task's network: what every run is, and is compared with."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ._data_plan import INITIAL, mix
from ._default_generator import seed_default, seed_everything
from ._hypers import Hypers
from ._micro_batches import Evenness, averages, dropout_seed, micro_batches
from ._module import call, trained_by
from ._refusals import check_differentiable
from ._task import Task

Named = list[tuple[str, nn.Parameter]]


@dataclass(frozen=True)
class Begun:
    """An optimizer at the start of a plain training, and what to call as it goes."""

    optimizer: torch.optim.Optimizer
    after_step: Callable[[], object] = lambda: None
    at_end: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class PlainTraining:
    """A network and its training loop, as anyone writes it.

    Args:
        model: In training mode; changed in place.
        values: The task's own hyperparameters at each step, name -> shape (T, ...).
        clip: Clips the gradients of the trained parameters.
    """

    task: Task
    model: nn.Module
    values: Mapping[str, Tensor]
    seed: int
    dtype: torch.dtype
    clip: Callable[[list[nn.Parameter]], None]

    @property
    def named(self) -> Named:
        """What is trained."""
        return trained_by(self.model)

    @torch.no_grad()
    def initialize(self) -> None:
        """The task's initialization, by its hyperparameters at step 0."""
        drawn = {name: p.detach().clone() for name, p in self.named}
        seed_default(mix(self.seed, INITIAL, 1), self.task.device)
        made = self.task.initialized(drawn, Hypers(self._at(0), 0, lambda: drawn))
        for name, parameter in self.named:
            parameter.copy_(made[name])

    def steps(self, begun: Begun, steps: int) -> Iterator[tuple[int, Tensor]]:
        """Train; yields each step and its loss when it is done."""
        task = self.task
        for step in range(steps):
            batch = task.plan.batch(self.seed, step, task.device, self.dtype)
            begun.optimizer.zero_grad()
            losses = [*self._backward(step, batch)]
            self.clip([p for _, p in self.named])
            begun.optimizer.step()
            begun.after_step()
            yield step, functools.reduce(torch.add, losses)
        begun.at_end()

    def _backward(self, step: int, batch: Any) -> Iterator[Tensor]:
        """Add up the gradients of a batch, one micro-batch after the other; their shares of its loss."""
        task, even = self.task, Evenness()
        whole = functools.partial(task.plan.index, self.seed, step)
        for number, (part, index, share) in enumerate(micro_batches(batch, whole, task.accumulate)):
            seed_everything(dropout_seed(self.seed, step, number), task.device)
            hypers = Hypers(
                self._at(step), step, lambda: dict(self.model.named_parameters()),
                lambda index=index: index().to(task.device),
            )  # fmt: skip
            made = functools.partial(
                task.training_loss, lambda x: call(self.model, x), part, hypers
            )
            if task.accumulate == 1:
                loss = made()
            else:
                loss, averaged = averages(part, share, made)
                even.check(step, averaged, share, task.accumulate)
            check_differentiable(loss)
            loss = loss if share == 1.0 else loss * share
            loss.backward()
            yield loss.detach()

    def _at(self, step: int) -> dict[str, Any]:
        return {name: value[step] for name, value in self.values.items()}
